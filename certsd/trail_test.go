package certsd

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/handshake"
)

func TestTrail(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
	dir := newCertsDir(t)
	path := dir.add(t, s.host, "alpha", "beta")
	old := clientCA.Issue(certtest.Request{CommonName: "old", NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)})
	if err := old.Write(path, "old"); err != nil {
		t.Fatal(err)
	}
	ctx, trail := WithTrail(t.Context())
	rt := view(t, dir.transport(t), s.host, nil)
	for range 2 {
		if _, err := send(t, rt, newRequest(ctx, t, "GET", s.URL+"/v2/app/manifests/latest?secret=x", "")); err != nil {
			t.Fatal(err)
		}
	}
	url := s.URL + "/v2/app/manifests/latest"
	want := strings.NewReplacer("HOST", s.host, "DIR", path, "URL", url,
		"LATER", hostdir.Day(pairOf("alpha").Cert.NotAfter), "BEFORE", hostdir.Day(old.Cert.NotAfter)).Replace(
		`HOST (DIR)
  old.cert (CN=old, expired BEFORE): passed over: it expired on BEFORE
  alpha.cert (CN=alpha, expires LATER): GET URL: 403 Forbidden: "DENIED: not for alpha" (2 times)
  beta.cert (CN=beta, expires LATER): GET URL: 403 Forbidden: "DENIED: not for beta" (2 times)
  -> DIR/old.cert: renew it, or set this machine's clock
  -> server HOST refused the client certificates from DIR: compare their issuer and subject with what the server accepts
`)
	if diff := cmp.Diff(want, trail.String()); diff != "" {
		t.Errorf("trail (-want +got):\n%s", diff)
	}
	attempts := trail.Attempts()
	if len(attempts) != 5 {
		t.Fatalf("%d attempts", len(attempts))
	}
	got := attempts[1]
	alpha := pairOf("alpha").Cert
	if diff := cmp.Diff(Attempt{
		Registry: s.host, Host: s.host, URL: url, Method: "GET", Dir: path, Identity: "alpha.cert",
		Subject: "CN=alpha", Issuer: "CN=transport clients", NotBefore: alpha.NotBefore, NotAfter: alpha.NotAfter, Leaf: got.Leaf,
		Asked: true, Offered: true, Fresh: true, Status: 403, Answer: "DENIED: not for alpha", Reason: "403",
	}, got); diff != "" {
		t.Errorf("attempt (-want +got):\n%s", diff)
	}
	if got.Leaf == nil || !got.Leaf.Equal(alpha) {
		t.Errorf("the certificate is %v", got.Leaf)
	}
}

func TestTrailOfOtherEnds(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		options serverOptions
		clients []string
		want    []string
	}{
		"an alert": {
			serverOptions{auth: tls.RequireAnyClientCert, refuse: func(string) error { return errors.New("no") }},
			[]string{"a"},
			[]string{"a.cert (CN=a, expires ", "remote error: tls: bad certificate", "-> server HOST refused the client certificates from DIR"},
		},
		"a server that does not ask": {
			serverOptions{handle: allow(403)},
			[]string{"a", "b"},
			[]string{"403 Forbidden", "(the server did not ask for a certificate)", "-> server HOST did not ask for a client certificate: none of those in DIR was presented"},
		},
		"no pair in the directory": {
			serverOptions{auth: tls.RequireAnyClientCert},
			nil,
			[]string{"without a certificate: GET", "-> server HOST asked for a client certificate: put NAME.cert and NAME.key into DIR"},
		},
		"a missing image": {
			serverOptions{auth: tls.RequestClientCert, handle: allow(404)},
			[]string{"a"},
			[]string{"404 Not Found"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, row.options)
			dir := newCertsDir(t)
			path := dir.add(t, s.host, row.clients...)
			ctx, trail := WithTrail(t.Context())
			_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, "GET", s.URL+"/v2/", ""))
			text := trail.String()
			hinted := false
			for _, want := range row.want {
				want = strings.NewReplacer("HOST", s.host, "DIR", path).Replace(want)
				hint, isHint := strings.CutPrefix(want, "-> ")
				hinted = hinted || isHint
				if !strings.Contains(text, want) {
					t.Errorf("the trail lacks %q:\n%s", want, text)
				}
				if isHint && err != nil && !strings.Contains(err.Error(), hint) {
					t.Errorf("the error lacks %q: %v", hint, err)
				}
			}
			if !hinted && strings.Contains(text, "->") {
				t.Errorf("a hint too much:\n%s", text)
			}
		})
	}
}

// OpenSSL's security level 2 refuses what the example that came with Docker's
// certs.d makes: openssl genrsa 1024.
func TestShortKeysAreCalledShort(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequireAnyClientCert, refuse: func(string) error { return errors.New("key too small") }, tls: func(c *tls.Config) {
		c.ClientCAs = nil
	}})
	for bits, want := range map[int]string{
		1024: "refused the client certificate from DIR: its RSA key has 1024 bits, and many servers refuse fewer than 2048",
		2048: `refused the client certificates from DIR: compare their issuer and subject with what the server accepts`,
	} {
		dir := newCertsDir(t)
		path := dir.add(t, s.host)
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a"}, NotAfter: time.Now().Add(time.Hour)}
		cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		dir.write(t, s.host+"/a.cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
		dir.write(t, s.host+"/a.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
		_, err = send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, "GET", s.URL+"/v2/", ""))
		if err == nil || !strings.Contains(err.Error(), "server "+s.host+" "+strings.ReplaceAll(want, "DIR", path)) {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}

func TestRefusedErrorNamesEachFile(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequireAnyClientCert, refuse: func(string) error { return errors.New("no") }})
	dir := newCertsDir(t)
	path := dir.add(t, s.host, "a", "b")
	_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, "GET", s.URL+"/v2/", ""))
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v", err)
	}
	until := hostdir.Day(pairOf("a").Cert.NotAfter)
	want := fmt.Sprintf("%s: remote error: tls: bad certificate: tried a.cert (CN=a, expires %s), b.cert (CN=b, expires %s) in %s: "+
		"server %s refused the client certificates from %s: compare their issuer and subject with what the server accepts", s.host, until, until, path, s.host, path)
	if diff := cmp.Diff(want, refused.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if alert, ok := handshake.Alert(err); !ok || alert != handshake.BadCertificate {
		t.Error("the alert is not in the chain")
	}
}

func TestVerificationError(t *testing.T) {
	t.Parallel()
	stranger := certtest.NewCA("stranger")
	s := newTLSServer(t, serverOptions{tls: func(c *tls.Config) {
		c.Certificates = []tls.Certificate{stranger.Server("127.0.0.1").TLS}
	}})
	for name, row := range map[string]struct {
		setUp func(dir certsDir) string
		want  string
	}{
		"with a CA file": {
			func(dir certsDir) string { return dir.add(t, s.host) },
			`(looked at DIR/ca.crt): its certificate is signed by "CN=stranger", which is not among the CA roots in DIR, ` +
				`and the server does not send the certificate of "CN=stranger": put that CA's certificate into DIR as NAME.crt, if it is a root CA; `,
		},
		"with the system's roots": {
			func(dir certsDir) string {
				return filepath.Join(string(dir), strings.ReplaceAll(s.host, ":", "_")+"_")
			},
			`(looked at the system's roots): its certificate is signed by "CN=stranger", which is not among the system's CA roots, ` +
				`and the server does not send the certificate of "CN=stranger": create the directory DIR with that CA's certificate as NAME.crt, if it is a root CA; `,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newCertsDir(t)
			path := row.setUp(dir)
			_, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(t.Context(), t, "GET", s.URL+"/v2/", ""))
			var failed *VerificationError
			if !errors.As(err, &failed) {
				t.Fatalf("error %v", err)
			}
			if want := strings.ReplaceAll(row.want, "DIR", path); !strings.Contains(err.Error(), want) || failed.Host != s.host {
				t.Errorf("error %v, want %q", err, want)
			}
			if !errors.As(err, new(*tls.CertificateVerificationError)) {
				t.Error("the cause is not in the chain")
			}
		})
	}
}

// A server that repeats what it was sent gives no secret away.
func TestAnswersKeepSecrets(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		w.WriteHeader(403)
		user, password, _ := r.BasicAuth()
		_, _ = io.WriteString(w, strings.Join([]string{
			r.Header.Get("Authorization"), user, password, r.Header.Get("X-Team"), r.Header.Get("X-Pull"), r.Header.Get("Cookie"), r.URL.RawQuery, r.URL.Query().Get("sig"), r.URL.Query().Get("scope"),
		}, " | "))
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	dir.write(t, s.host+"/hosts.toml", "[header]\nX-Team = \"blue-and-secret\"\n")
	ctx, trail := WithTrail(t.Context())
	req := newRequest(ctx, t, "GET", s.URL+"/v2/?sig=a%2Fsignature&scope=repository:app:pull", "")
	req.SetBasicAuth("somebody", "correct-horse")
	req.AddCookie(&http.Cookie{Name: "session", Value: "of-somebody"})
	// As docker's resolver adds them, and those of the pull.
	pull := http.Header{"X-Pull": {"green-and-secret"}}
	req.Header.Set("X-Team", "blue-and-secret")
	req.Header.Set("X-Pull", "green-and-secret")
	resp, err := view(t, dir.transport(t), s.host, pull).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	const want = "[removed] | somebody | [removed] | [removed] | [removed] | session=[removed] | [removed] | [removed] | repository:app:pull"
	if got := trail.Attempts()[0].Answer; got != want {
		t.Errorf("answer %q, want %q", got, want)
	}
}

// What is read to know a 400 by is still there for the reader.
func TestPeekLeavesTheBodyWhole(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("<p>another page</p>", 1000)
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.WriteHeader(400)
		_, _ = io.WriteString(w, page)
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	ctx, trail := WithTrail(t.Context())
	resp, err := view(t, dir.transport(t), s.host, nil).RoundTrip(newRequest(ctx, t, "GET", s.URL+"/v2/", ""))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(got) != page {
		t.Errorf("error %v, %d bytes, want %d", err, len(got), len(page))
	}
	if answer := trail.Attempts()[0].Answer; !strings.HasPrefix(answer, "another page another page") {
		t.Errorf("answer %q", answer)
	}
}
