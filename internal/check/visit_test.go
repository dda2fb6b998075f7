package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

type handler = func(w http.ResponseWriter, r *http.Request, client string)

// status answers everything with one status.
func status(code int, body string) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// only lets some clients in and answers 403 to the others.
func only(clients ...string) handler {
	return func(w http.ResponseWriter, _ *http.Request, client string) {
		if !slices.Contains(clients, client) {
			w.WriteHeader(http.StatusForbidden)
		}
	}
}

func expired() *certtest.Pair {
	now := time.Now().Add(30 * time.Minute)
	return serverCA.Issue(certtest.Request{
		CommonName: "server", Names: []string{"127.0.0.1"}, NotBefore: now.Add(-96 * time.Hour), NotAfter: now.Add(-72 * time.Hour),
	})
}

func TestWhatServersSay(t *testing.T) {
	t.Parallel()
	const owner = " -> ask the registry's owner which of these certificates has access; compare their issuer and subject with what the server accepts"
	const here = " -> first fix what is reported about the client certificate's own files"
	const fails = "refused: a pull would fail"
	middle := clientCA.Intermediate("middle")
	below := middle.Client("below")
	ok := files{"ca": serverCA, "alpha": alpha, "bravo": bravo}
	tests := []struct {
		name string
		server
		in   files
		want []string
	}{
		{
			name: "the second certificate is accepted", in: ok,
			server: server{auth: tls.RequestClientCert, handle: only("bravo")},
			want:   []string{"works: a pull would work: https://REG/v2 answers, with bravo.cert"},
		}, {
			name: "nobody asks for a certificate", in: files{"ca": serverCA},
			want: []string{"works: a pull would work: https://REG/v2 answers, without a client certificate"},
		}, {
			name: "all refused", in: ok,
			server: server{auth: tls.RequestClientCert, handle: only("charlie")},
			want:   []string{"error all-refused REG: 403 Forbidden for each of alpha.cert, bravo.cert" + owner, fails},
		}, {
			name: "accepted without asking", in: ok,
			want: []string{"works: a pull would work: https://REG/v2 answers, without a client certificate"},
		}, {
			name: "a CA and a certificate that are named for a mirror", in: files{
				"mirror": serverCA, "alpha": alpha,
				"hosts.toml": "[host.\"https://127.0.0.1:1\"]\nca = \"mirror.crt\"\nclient = [[\"alpha.cert\", \"alpha.key\"]]\n",
			},
			want: []string{
				`error unknown-authority REG: its certificate is signed by "CN=servers", which is not among the system's CA roots, and the server does not send the certificate of "CN=servers" -> ` +
					`mirror.crt is configured for 127.0.0.1:1 only: if it is that CA, write server = "https://REG" and ca = "mirror.crt" at the top of hosts.toml`,
				"warning no-connection 127.0.0.1:1: no connection: connection refused: nothing listens there -> check that the server is running, that the port is right, and that no firewall is in between",
				fails,
			},
		}, {
			name: "a certificate that is named for a mirror", in: files{
				"ca": serverCA, "alpha": alpha, "hosts.toml": "[host.\"https://127.0.0.1:1\"]\nclient = [[\"alpha.cert\", \"alpha.key\"]]\n",
			},
			server: server{auth: tls.RequireAnyClientCert},
			want: []string{
				"error certificate-required REG: TLS alert 116, certificate required: it requires a client certificate -> " +
					`alpha.cert is configured for 127.0.0.1:1 only: to present it here, too, write server = "https://REG" and client = [["alpha.cert", KEY]] at the top of hosts.toml`,
				"warning no-connection 127.0.0.1:1: no connection: connection refused: nothing listens there -> check that the server is running, that the port is right, and that no firewall is in between",
				fails,
			},
		}, {
			name: "a certificate that has expired", in: files{"ca": serverCA, "old": certIssued(96*time.Hour, 24*time.Hour)},
			server: server{auth: tls.RequireAndVerifyClientCert},
			want: []string{
				"warning expired ROOT/REG_/old.cert: CN=timed expired 2 days ago -> renew it, or set this machine's clock",
				"error certificate-refused REG: TLS alert 45, certificate expired: the client certificate is outside of its validity, by the server's clock (old.cert)" + here,
				fails,
			},
		}, {
			name: "a bundle that has lost its CA", in: files{"ca.crt": string(otherCA.PEM) + string(serverCA.PEM[:200])},
			server: server{},
			want: []string{
				fmt.Sprintf("warning ca-partly-unusable ROOT/REG_/ca.crt: line %d: BEGIN CERTIFICATE without an END: the file is cut -> ", 1+bytes.Count(otherCA.PEM, []byte("\n"))) +
					"copy the file again, or convert or remove the certificates that cannot be read",
				`error unknown-authority REG: its certificate is signed by "CN=servers", which is not among the CA roots in ROOT/REG_, and the server does not send the certificate of "CN=servers" -> put that CA's certificate into ROOT/REG_ as NAME.crt, if it is a root CA; if it is an intermediate CA, fix it at the server, which must send it, too: after its own certificate in the same file`,
				fails,
			},
		}, {
			name: "a client certificate in another form", in: files{"ca": serverCA, "alpha.p12": "x"},
			server: server{auth: tls.RequireAnyClientCert},
			want: []string{
				"warning file-name ROOT/REG_/alpha.p12: is not read: PKCS #12 must be converted to PEM -> convert it: openssl pkcs12 -nodes -in ROOT/REG_/alpha.p12 -out ROOT/REG_/alpha.cert",
				"error certificate-required REG: TLS alert 116, certificate required: it requires a client certificate -> put NAME.cert and NAME.key into ROOT/REG_",
				fails,
			},
		}, {
			name: "a page", in: files{"ca": serverCA}, server: server{handle: status(200, "<html>Welcome</html>")},
			want: []string{
				"warning no-registry REG: 200 OK for /v2/ with something that is not JSON: it may not be a registry -> name a repository to find out: certsd check --root ROOT REG/REPOSITORY",
				"works: a pull would work: https://REG/v2 answers, without a client certificate",
			},
		}, {
			name: "JSON", in: files{"ca": serverCA}, server: server{handle: status(200, "{}\n")},
			want: []string{"works: a pull would work: https://REG/v2 answers, without a client certificate"},
		}, {
			name: "refused without asking", in: ok,
			server: server{handle: status(403, "")},
			want: []string{
				"error not-asked REG: 403 Forbidden, and the server did not ask for a client certificate: none was presented -> " +
					"enable client certificates at the server (nginx: ssl_verify_client, Apache: SSLVerifyClient), or look at user and password",
				fails,
			},
		}, {
			name: "refused, and none configured", in: files{"ca": serverCA},
			server: server{handle: status(403, "")},
			want:   []string{"error all-refused REG: 403 Forbidden for a request without a client certificate -> ask the registry's owner who has access", fails},
		}, {
			name: "refused and asked, and none configured", in: files{"ca": serverCA},
			server: server{auth: tls.RequestClientCert, handle: status(403, "")},
			want:   []string{"error all-refused REG: 403 Forbidden for a request without a client certificate -> put NAME.cert and NAME.key into ROOT/REG_", fails},
		}, {
			name: "a certificate is required", in: files{"ca": serverCA},
			server: server{auth: tls.RequireAnyClientCert},
			want: []string{
				"error certificate-required REG: TLS alert 116, certificate required: it requires a client certificate -> put NAME.cert and NAME.key into ROOT/REG_",
				fails,
			},
		}, {
			name: "a certificate is required, TLS 1.2", in: files{"ca": serverCA},
			server: server{auth: tls.RequireAnyClientCert, maxVersion: tls.VersionTLS12},
			want: []string{
				"error certificate-required REG: TLS alert 40, handshake failure: it wants a client certificate, another one, or other algorithms -> put NAME.cert and NAME.key into ROOT/REG_",
				fails,
			},
		}, {
			name: "a certificate of another CA", in: files{"ca": serverCA, "stranger": stranger},
			server: server{auth: tls.RequireAndVerifyClientCert},
			want: []string{
				`warning issuer-not-listed ROOT/REG_/stranger.cert: it is issued by "CN=others", whose certificate is not in the file, and REG accepts certificates of "CN=clients" -> ` +
					`if "CN=others" is an intermediate CA, append its certificate to stranger.cert, after the client's own (cat INTERMEDIATE.crt >> ROOT/REG_/stranger.cert); ` +
					`if not, get a certificate from a CA that the server accepts`,
				"error certificate-refused REG: TLS alert 48, unknown certificate authority: it does not know the CA that issued the client certificate (stranger.cert)" + here,
				fails,
			},
		}, {
			name:   "a client certificate without its intermediate CA, which is elsewhere",
			in:     files{"ca": serverCA, "below.cert": leafOf(below), "below.key": below.KeyPEM, "middle": middle},
			server: server{auth: tls.RequireAndVerifyClientCert},
			want: []string{
				`warning intermediate-missing ROOT/REG_/below.cert: its chain stops below the intermediate CA "CN=middle", whose certificate is in ROOT/REG_/middle.crt but not in this file: ` +
					`REG cannot see that it leads to "CN=clients" -> append the certificate of "CN=middle" to ROOT/REG_/below.cert, after the client's own: cat ROOT/REG_/middle.crt >> ROOT/REG_/below.cert`,
				"error certificate-refused REG: TLS alert 48, unknown certificate authority: it does not know the CA that issued the client certificate (below.cert)" + here,
				fails,
			},
		}, {
			name: "nginx's page for a refused certificate", in: ok,
			server: server{auth: tls.RequestClientCert, handle: status(400, "<html><head><title>400 The SSL certificate error</title></head></html>")},
			want: []string{
				"error certificate-refused REG: 400 The SSL certificate error: the server does not accept the client certificate (each of alpha.cert, bravo.cert)" + owner,
				fails,
			},
		}, {
			name: "nginx's page for a missing certificate", in: files{"ca": serverCA},
			server: server{auth: tls.RequestClientCert, handle: status(400, "<html><head><title>400 No required SSL certificate was sent</title></head></html>")},
			want: []string{
				"error certificate-required REG: 400 No required SSL certificate was sent: the server wants a client certificate -> put NAME.cert and NAME.key into ROOT/REG_",
				fails,
			},
		}, {
			name: "495", in: ok,
			server: server{auth: tls.RequestClientCert, handle: status(495, "")},
			want: []string{
				"error certificate-refused REG: 495 The SSL certificate error: the server does not accept the client certificate (each of alpha.cert, bravo.cert)" + owner,
				fails,
			},
		}, {
			name: "a sick server", in: ok,
			server: server{auth: tls.RequestClientCert, handle: status(502, "")},
			want: []string{
				"error server-error REG: 502 Bad Gateway for each of alpha.cert, bravo.cert -> " +
					"look into the server's log; if only some certificates get this answer, ask its owner which one has access",
				fails,
			},
		}, {
			name: "a CA that did not sign the server's", in: files{"ca": otherCA},
			want: []string{
				`error unknown-authority REG: its certificate is signed by "CN=servers", which is not among the CA roots in ROOT/REG_, and the server does not send the certificate of "CN=servers" -> put that CA's certificate into ROOT/REG_ as NAME.crt, if it is a root CA; if it is an intermediate CA, fix it at the server, which must send it, too: after its own certificate in the same file`,
				fails,
			},
		}, {
			name: "no CA", in: files{"alpha": alpha},
			want: []string{
				`error unknown-authority REG: its certificate is signed by "CN=servers", which is not among the system's CA roots, and the server does not send the certificate of "CN=servers" -> put that CA's certificate into ROOT/REG_ as NAME.crt, if it is a root CA; if it is an intermediate CA, fix it at the server, which must send it, too: after its own certificate in the same file`,
				fails,
			},
		}, {
			name: "another name", in: files{"ca": serverCA},
			server: server{pair: serverCA.Server("other.test", "127.0.0.9")},
			want: []string{
				"error wrong-name REG: its certificate is for other.test, 127.0.0.9, not for 127.0.0.1 -> use one of these names for the registry, " +
					"or have it reissued with 127.0.0.1 among its subject alternative names: subjectAltName=IP:127.0.0.1",
				fails,
			},
		}, {
			name: "no name", in: files{"ca": serverCA},
			server: server{pair: serverCA.Client("127.0.0.1")},
			want: []string{
				"error wrong-name REG: its certificate has no subject alternative names, and its common name \"127.0.0.1\" does not count -> have it reissued with 127.0.0.1 among its subject alternative names: subjectAltName=IP:127.0.0.1",
				fails,
			},
		}, {
			name: "the server's certificate has expired", in: files{"ca": serverCA},
			server: server{pair: expired()},
			want:   []string{`error server-expired REG: its certificate "CN=server" expired 2 days ago -> have it renewed, or set this machine's clock`, fails},
		}, {
			name: "skip_verify", in: files{"hosts.toml": "skip_verify = true\n"},
			want: []string{
				"warning not-verified REG: its certificate is accepted unverified, and would be refused otherwise: x509: certificate signed by unknown authority -> " +
					"put the CA root that signed it into ROOT/REG_ as NAME.crt, and remove skip_verify",
				"works: a pull would work: https://REG/v2 answers, without a client certificate",
			},
		}, {
			name: "plain HTTP", in: ok, server: server{plain: true},
			want: []string{
				`error no-tls REG: the server answers in plain HTTP where TLS is expected -> correct the port; if it is meant to be plain HTTP, write server = "http://REG" into hosts.toml, without ca and client`,
				fails,
			},
		}, {
			name: "an old TLS", in: ok, server: server{maxVersion: tls.VersionTLS11},
			want: []string{
				"error tls-failed REG: no TLS: TLS alert 70, protocol version: it speaks neither TLS 1.2 nor 1.3 -> ask the server: openssl s_client -connect REG -servername 127.0.0.1",
				fails,
			},
		}, {
			name: "user and password", in: ok,
			server: server{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
				w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			}},
			want: []string{
				"error credentials-missing REG: 401 Unauthorized: it requires a user and a password, and Docker's config.json has none for it -> " +
					"docker login REG, or give the client a pull secret; client certificates do not help here",
				fails,
			},
		}, {
			name: "no registry", in: ok, server: server{auth: tls.RequestClientCert, handle: status(404, "")},
			want: []string{
				"error no-registry REG: 404 Not Found for /v2/, and /v1/_ping does not answer either -> is this the registry's right name and port?",
				fails,
			},
		}, {
			name: "a redirect", in: files{"ca": serverCA}, server: server{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
				http.Redirect(w, r, "https://me:pw@login.test/?token=secret", http.StatusFound)
			}},
			want: []string{
				"error no-registry REG: 302 Found to https://login.test/ -> a registry does not redirect its API root: is this its right name?",
				fails,
			},
		}, {
			name: "only Registry v1", in: ok, server: server{auth: tls.RequestClientCert, handle: v1Only},
			want: []string{
				"warning v1-only REG: it speaks only the protocol Registry v1: certsd converts its images, stock containerd cannot pull them -> move it to a v2 registry: see https://github.com/certsd/containerd-certsd/blob/main/docs/registry-v1.md",
				"works: a pull would work: https://REG/v2 answers, with alpha.cert",
			},
		}, {
			name: "only Registry v1, without asking", in: ok, server: server{handle: v1Only},
			want: []string{
				"warning v1-only REG: it speaks only the protocol Registry v1: certsd converts its images, stock containerd cannot pull them -> move it to a v2 registry: see https://github.com/certsd/containerd-certsd/blob/main/docs/registry-v1.md",
				"works: a pull would work: https://REG/v2 answers, without a client certificate",
			},
		}, {
			name: "only Registry v1, and switched off", in: files{"ca": serverCA, "hosts.toml": `registry_v1 = "never"`}, server: server{handle: v1Only},
			want: []string{
				`error v1-forbidden REG: it speaks only the protocol Registry v1, and hosts.toml says registry_v1 = "never" -> remove that key`,
				fails,
			},
		}, {
			name: "a mirror that is down", in: files{"ca": serverCA, "hosts.toml": "[host.\"https://127.0.0.1:1\"]\n"},
			want: []string{
				"warning no-connection 127.0.0.1:1: no connection: connection refused: nothing listens there -> check that the server is running, that the port is right, and that no firewall is in between",
				"works: a pull would work: https://REG/v2 answers, without a client certificate",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, root := tt.start(t), t.TempDir()
			write(t, root, of(host, tt.in))
			compare(t, tt.want, lines(run1(t, &Checker{}, root, host), root, map[string]string{"REG": host}))
		})
	}
}

func v1Only(w http.ResponseWriter, r *http.Request, _ string) {
	if r.URL.Path != "/v1/_ping" {
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, of("127.0.0.1:1", files{"ca": serverCA}))
	r := run1(t, &Checker{}, root, "127.0.0.1:1")
	compare(t, []string{
		"error no-connection 127.0.0.1:1: no connection: connection refused: nothing listens there -> check that the server is running, that the port is right, and that no firewall is in between",
		"refused: a pull would fail",
	}, lines(r, root, nil))
}

// A registry on this machine without a directory is not verified, as Docker and
// containerd have it, and plain HTTP will do.
func TestRegistryOfThisMachine(t *testing.T) {
	t.Parallel()
	const none = "warning no-directory REG: no root has a directory for it: no client certificate is presented, and the system's CA roots are used -> if it needs certificates, create ROOT/REG_"
	root := t.TempDir()
	host := server{}.start(t)
	compare(t, []string{
		none,
		"warning not-verified REG: its certificate is accepted unverified, and would be refused otherwise: x509: certificate signed by unknown authority -> " +
			"put the CA root that signed it into ROOT/REG_ as NAME.crt",
		"works: a pull would work: https://REG/v2 answers, without a client certificate",
	}, lines(run1(t, &Checker{}, root, host), root, map[string]string{"REG": host}))

	host = server{plain: true}.start(t)
	compare(t, []string{none, "works: a pull would work: https://REG/v2 answers, without a client certificate"},
		lines(run1(t, &Checker{}, root, host), root, map[string]string{"REG": host}))

	host = server{plain: true, handle: v1Only}.start(t)
	compare(t, []string{
		"error v1-forbidden REG: it speaks only the protocol Registry v1, which is for registries with a directory of their own -> create the directory ROOT/REG_; it may be empty",
		none,
		"refused: a pull would fail",
	}, lines(run1(t, &Checker{}, root, host), root, map[string]string{"REG": host}))
}

// A server whose certificate is not accepted is asked nothing.
func TestUnverifiedServersAreAskedNothing(t *testing.T) {
	t.Parallel()
	host, root := server{pair: otherCA.Server("127.0.0.1")}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "alpha": alpha}))
	r := run1(t, &Checker{}, root, host+"/team/app")
	if live := r.Endpoints[0].Live; len(live.Answers) > 0 || live.Status != 0 || r.Pull != nil {
		t.Errorf("%+v, %+v", live, r.Pull)
	}
}

func TestAllAsksEachServer(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	good, bad := server{}.start(t), server{handle: status(403, "")}.start(t)
	for _, host := range []string{good, bad} {
		write(t, root, of(host, files{"ca": serverCA}))
	}
	report, err := (&Checker{Roots: certsd.Roots{root}}).All(t.Context())
	if err != nil || len(report.Registries) != 2 {
		t.Fatalf("%+v, %v", report, err)
	}
	for _, r := range report.Registries {
		if want := map[string]Verdict{good: Works, bad: Refused}[r.Registry]; r.Verdict != want {
			t.Errorf("%s: %s", r.Registry, r.Verdict)
		}
	}
	if report.ExitCode() != ExitRefused {
		t.Errorf("exit code %d", report.ExitCode())
	}
}

// What the server shows of itself is in the report.
func TestConnection(t *testing.T) {
	t.Parallel()
	host, root := server{auth: tls.VerifyClientCertIfGiven, handle: only("alpha")}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "alpha": alpha, "hosts.toml": "[header]\nX-Team = \"blue\"\n"}))
	live := run1(t, &Checker{}, root, host).Endpoints[0].Live
	if live.Connected != host || live.Status != 200 || live.Identity != "alpha.cert" || live.Protocol != "v2" {
		t.Errorf("connection %+v", live)
	}
	s := live.TLS
	if s == nil || s.Version != "TLS 1.3" || !s.Verified || !s.Asked || len(s.Chain) != 1 || !slices.Equal(s.AcceptableCAs, []string{"CN=clients"}) {
		t.Errorf("TLS %+v", s)
	}
	var answers []string
	for _, a := range live.Answers {
		answers = append(answers, fmt.Sprintf("%q %v %d", a.Identity, a.Offered, a.V2.Status))
	}
	compare(t, []string{`"" false 403`, `"alpha.cert" true 200`}, answers)
}

// Each identity is asked about both protocols, but for v1 where it is never spoken.
func TestBothProtocolsAreAsked(t *testing.T) {
	t.Parallel()
	host, root := server{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, r *http.Request, client string) {
		if r.URL.Path == "/v1/_ping" && client != "bravo" {
			w.WriteHeader(http.StatusTeapot)
		}
	}}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "alpha": alpha, "bravo": bravo}))
	answers := func() []string {
		t.Helper()
		var all []string
		for _, a := range run1(t, &Checker{}, root, host).Endpoints[0].Live.Answers {
			v1 := 0
			if a.V1 != nil {
				v1 = a.V1.Status
			}
			all = append(all, fmt.Sprintf("%q %d %d", a.Identity, a.V2.Status, v1))
		}
		return all
	}
	compare(t, []string{`"" 200 418`, `"alpha.cert" 200 418`, `"bravo.cert" 200 200`}, answers())
	write(t, root, of(host, files{"hosts.toml": `registry_v1 = "never"`}))
	compare(t, []string{`"" 200 0`, `"alpha.cert" 200 0`, `"bravo.cert" 200 0`}, answers())
	write(t, root, of(host, files{"hosts.toml": "server = \"https://" + host + "/v2/other\"\noverride_path = true\n"}))
	compare(t, []string{`"" 200 0`, `"alpha.cert" 200 0`, `"bravo.cert" 200 0`}, answers())
}

// What was interrupted is no fault of a server.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	root := t.TempDir()
	host := server{handle: func(http.ResponseWriter, *http.Request, string) { interrupt() }}.start(t)
	write(t, root, of(host, files{"ca": serverCA}))
	c := &Checker{Roots: certsd.Roots{root}}
	if r, err := c.Registry(ctx, host); r != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := c.All(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("all: %v", err)
	}
}

// A credential helper that fails is what is wrong, not that there is none.
func TestFailingCredentialHelper(t *testing.T) {
	t.Parallel()
	host, root := server{handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA}))
	c := &Checker{Credentials: func(string) (string, string, error) { return "", "", errors.New("docker-credential-x: not found") }}
	compare(t, []string{
		"error credentials-missing REG: 401 Unauthorized, and the credential helper in Docker's config.json does not give a user and password: docker-credential-x: not found -> " +
			"fix the credential helper (credsStore, credHelpers), or docker login REG",
		"refused: a pull would fail",
	}, lines(run1(t, c, root, host), root, map[string]string{"REG": host}))
}

// leafOf is the certificate of a pair without those behind it.
func leafOf(p *certtest.Pair) []byte {
	block, _ := pem.Decode(p.CertPEM)
	return pem.EncodeToMemory(block)
}
