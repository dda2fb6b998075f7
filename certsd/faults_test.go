package certsd

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestFaultsComeFirst breaks a directory in the ways that a server answers with
// a refusal: what can be mended on this machine is the first to be said.
func TestFaultsComeFirst(t *testing.T) {
	t.Parallel()
	middle := clientCA.Intermediate("middle")
	below := middle.Issue(certtest.Request{CommonName: "below"})
	now := time.Now()
	old := clientCA.Issue(certtest.Request{CommonName: "old", NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour)})
	future := clientCA.Issue(certtest.Request{CommonName: "new", NotBefore: now.Add(24 * time.Hour), NotAfter: now.Add(48 * time.Hour)})
	server := serverCA.Server("127.0.0.1")
	const other = "compare issuer and subject"
	for name, row := range map[string]struct {
		clients []string
		files   map[string][]byte
		refuse  bool // by an alert, else by 403
		want    []string
		not     string
	}{
		"a key of another pair": {
			clients: []string{"alpha"}, files: map[string][]byte{"beta.cert": pairOf("beta").CertPEM, "beta.key": pairOf("alpha").KeyPEM},
			want: []string{
				"beta.cert: not presented: the private key does not belong to the certificate",
				"-> DIR/beta.cert: copy the certificate and the key again, both from the same pair\n  -> server HOST refused the client certificates",
			},
		},
		"no key, and an alert": {
			clients: []string{"alpha"}, files: map[string][]byte{"beta.cert": pairOf("beta").CertPEM}, refuse: true,
			want: []string{
				"beta.cert: not presented: no matching beta.key", "-> DIR/beta.cert: put the private key beside it as beta.key\n  -> server HOST refused",
				"error HOST: DIR/beta.cert: no matching beta.key, and no private key in the file itself: put the private key beside it as beta.key: ",
			},
		},
		"a name that is not read": {
			clients: []string{"alpha"}, files: map[string][]byte{"beta.pem": pairOf("beta").CertPEM},
			want: []string{"beta.pem: not presented: is not read: name it", "-> DIR/beta.pem: rename it to"},
		},
		"all expired": {
			files: map[string][]byte{"old.cert": old.CertPEM, "old.key": old.KeyPEM}, refuse: true,
			want: []string{"-> DIR/old.cert: renew it, or set this machine's clock\n", "error HOST: DIR/old.cert: CN=old has expired on "}, not: other,
		},
		"a clock that is behind": {
			files: map[string][]byte{"new.cert": future.CertPEM, "new.key": future.KeyPEM},
			want:  []string{"-> DIR/new.cert: wait, or set this machine's clock\n"}, not: other,
		},
		"the server's own": {
			files: map[string][]byte{"a.cert": server.CertPEM, "a.key": server.KeyPEM}, refuse: true,
			want: []string{"-> DIR/a.cert: replace it with a client certificate and key", "is the server's own certificate, not a client certificate"}, not: other,
		},
		"without its intermediate": {
			files: map[string][]byte{"a.cert": certOnly(below), "a.key": below.KeyPEM}, refuse: true,
			want: []string{`it is issued by "CN=middle", whose certificate is not in the file, and HOST accepts certificates of "CN=transport clients": ` +
				`if "CN=middle" is an intermediate CA, append its certificate to a.cert, after the client's own (cat INTERMEDIATE.crt >> DIR/a.cert); if not, get a certificate`}, not: other,
		},
		"without its intermediate, which is there": {
			files: map[string][]byte{"a.cert": certOnly(below), "a.key": below.KeyPEM, "middle.crt": middle.PEM}, refuse: true,
			want: []string{`-> DIR/a.cert: append the certificate of "CN=middle" to DIR/a.cert, after the client's own: cat DIR/middle.crt >> DIR/a.cert` + "\n"}, not: other,
		},
		"with its intermediate": {
			files: map[string][]byte{"a.cert": append(certOnly(below), middle.PEM...), "a.key": below.KeyPEM}, refuse: true,
			want: []string{"-> server HOST refused the client certificates from DIR: compare"}, not: "intermediate CA",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serverOptions{auth: tls.RequestClientCert, handle: allow(403), tls: func(c *tls.Config) { c.Certificates = []tls.Certificate{server.TLS} }}
			if row.refuse {
				o.auth, o.refuse = tls.RequireAnyClientCert, func(string) error { return errors.New("no") }
			}
			s := newTLSServer(t, o)
			dir := newCertsDir(t)
			path := dir.add(t, s.host, row.clients...)
			for file, content := range row.files {
				dir.write(t, s.host+"/"+file, string(content))
			}
			ctx, trail := WithTrail(t.Context())
			_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, http.MethodGet, s.URL+"/v2/app/manifests/1", ""))
			text := trail.String()
			if err != nil {
				text += "error " + errors.Unwrap(err).Error()
			}
			for _, want := range row.want {
				if want = strings.NewReplacer("HOST", s.host, "DIR", path).Replace(want); !strings.Contains(text, want) {
					t.Errorf("lacks %q:\n%s", want, text)
				}
			}
			if row.not != "" && strings.Contains(text, row.not) {
				t.Errorf("says %q, too:\n%s", row.not, text)
			}
		})
	}
}

// certOnly is the certificate of a pair without those behind it.
func certOnly(p *certtest.Pair) []byte {
	const end = "-----END CERTIFICATE-----\n"
	first, _, _ := strings.Cut(string(p.CertPEM), end)
	return []byte(first + end)
}

// A directory for another port is told by what fails for the want of one.
func TestDirectoriesForAnotherPortAreTold(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequireAnyClientCert})
	dir := newCertsDir(t)
	for _, name := range []string{"127.0.0.1:1", "127.0.0.1"} {
		path := dir.add(t, name, "alpha")
		ctx, trail := WithTrail(t.Context())
		_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, http.MethodGet, s.URL+"/v2/app/manifests/1", ""))
		port := map[string]string{"127.0.0.1:1": "1", "127.0.0.1": "443"}[name]
		want := path + ": is for port " + port + ", and is not read for " + s.host
		if faults := faultsOf(trail); err == nil || len(faults) != 1 || faults[0].Error() != want {
			t.Errorf("%v, faults %v, want %s", err, faults, want)
		}
		if hint := "-> " + path + ": rename it to "; !strings.Contains(trail.String(), hint) {
			t.Errorf("the trail lacks %q:\n%s", hint, trail)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	// Where there is its own directory, others are nobody's business.
	if err := os.Mkdir(filepath.Join(string(dir), "127.0.0.1:1"), 0o755); err != nil {
		t.Fatal(err)
	}
	refusing := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
	dir.add(t, refusing.host, "alpha")
	ctx, trail := WithTrail(t.Context())
	tr := dir.transport(t)
	if status, err := send(t, view(t, tr, refusing.host, nil), newRequest(ctx, t, http.MethodGet, refusing.URL+"/v2/", "")); err != nil || status != 403 || len(faultsOf(trail)) > 0 {
		t.Errorf("%d, %v: %s", status, err, trail)
	}
}

// A hosts.toml with a mistake that came beside the right certificate is said
// first, and its correction counts at once.
func TestBrokenFilesOfAHostInUseAreTold(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "beta")})
	dir := newCertsDir(t)
	path := dir.add(t, s.host, "alpha")
	tr := dir.transport(t)
	ask := func() (int, *Trail) {
		ctx, trail := WithTrail(t.Context())
		status, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, http.MethodGet, s.URL+"/v2/app/manifests/1", ""))
		if err != nil {
			t.Fatal(err)
		}
		return status, trail
	}
	if status, _ := ask(); status != http.StatusForbidden {
		t.Fatal(status)
	}
	// The right certificate comes, and with it a mistake.
	dir.add(t, s.host, "beta")
	dir.write(t, s.host+"/hosts.toml", "server = \"https://"+s.host+"\"\nclient = [[\"beta.cert\", \"none.key\"]]\n")
	status, trail := ask()
	faults := faultsOf(trail)
	want := path + "/hosts.toml:2: client: " + path + "/none.key: cannot be read: no such file or directory"
	if status != http.StatusForbidden || len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), want) {
		t.Errorf("%d, %v, want %s", status, faults, want)
	}
	if first := "-> " + path + "/hosts.toml:2: "; strings.Contains(trail.String(), "none.key: not presented") || !strings.Contains(trail.String(), first) {
		t.Errorf("lacks %q:\n%s", first, trail)
	}
	dir.write(t, s.host+"/hosts.toml", "server = \"https://"+s.host+"\"\nclient = [[\"beta.cert\", \"beta.key\"]]\nca = \"ca.crt\"\n")
	if status, trail := ask(); status != http.StatusOK || len(faultsOf(trail)) > 0 {
		t.Errorf("%d: %s", status, trail)
	}
}

// What keeps a CA from being among the roots is told first where nobody vouches for
// the server: it may be the one.
func TestLostCAsAreTold(t *testing.T) {
	t.Parallel()
	stranger := certtest.NewCA("a stranger")
	for name, row := range map[string]struct {
		file, data, want string
	}{
		"a bundle that is cut":     {"ca.crt", string(stranger.PEM) + string(serverCA.PEM[:200]), "BEGIN CERTIFICATE without an END: the file is cut: copy the file again, "},
		"another suffix":           {"ca.pem", string(serverCA.PEM), ": rename it to ca.crt or ca.cert"},
		"a client's, and no CA":    {"client.p12", "x", ""},
		"a bundle that is whole":   {"ca.crt", string(stranger.PEM), ""},
		"the right one is damaged": {"b.crt", string(serverCA.PEM) + string(serverCA.PEM[:200]), "-"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
			dir := newCertsDir(t)
			path := filepath.Join(string(dir), s.host)
			dir.write(t, s.host+"/stranger.crt", string(stranger.PEM))
			dir.write(t, s.host+"/"+row.file, row.data)
			ctx, trail := WithTrail(t.Context())
			_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, http.MethodGet, s.URL+"/v2/app/manifests/1", ""))
			faults := faultsOf(trail)
			switch {
			case row.want == "-":
				if err != nil {
					t.Errorf("%v", err)
				}
			case row.want == "":
				if err == nil || len(faults) > 0 {
					t.Errorf("%v: %v", err, faults)
				}
			case err == nil || len(faults) != 1 || !strings.HasPrefix(faults[0].Told(), filepath.Join(path, row.file)+": ") || !strings.Contains(faults[0].Told(), row.want):
				t.Errorf("%v: %v", err, faults)
			}
		})
	}
}
