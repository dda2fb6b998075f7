package check

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// library is a registry with team/app:latest and team/tagged:v1.
var library = sync.OnceValues(func() (http.Handler, error) {
	h := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(h)
	defer srv.Close()
	img, err := random.Image(64, 2)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigName()
	if err != nil {
		return nil, err
	}
	configBlob = config.String()
	for _, ref := range []string{"team/app:latest", "team/tagged:v1"} {
		tag, err := name.NewTag(strings.TrimPrefix(srv.URL, "http://") + "/" + ref)
		if err != nil {
			return nil, err
		}
		if err := remote.Write(tag, img, remote.WithTransport(http.DefaultTransport)); err != nil {
			return nil, err
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:errcheck // its type is documented
	return h, nil
})

// configBlob is the digest of the images' configuration, set by library.
var configBlob string

// serve answers from library where guard lets a request pass.
func serve(t *testing.T, guard func(w http.ResponseWriter, r *http.Request, client string) bool) handler {
	t.Helper()
	h, err := library()
	if err != nil {
		t.Fatal(err)
	}
	return func(w http.ResponseWriter, r *http.Request, client string) {
		if guard == nil || guard(w, r, client) {
			h.ServeHTTP(w, r)
		}
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	const fails = "refused: a pull would fail"
	// blobs is another host for blobs, auth one for tokens.
	blobs := server{auth: tls.RequireAndVerifyClientCert, handle: serve(t, nil)}.start(t)
	auth := server{auth: tls.RequireAndVerifyClientCert, handle: status(200, `{"token":"pass-to-the-registry"}`)}.start(t)
	sick := server{handle: status(500, "")}.start(t)
	denied := server{handle: status(401, `{"details":"incorrect username or password"}`)}.start(t)
	closed := server{auth: tls.RequestClientCert, handle: status(403, "")}.start(t)
	names := map[string]string{"CLOSED": closed, "BLOBS": blobs, "AUTH": auth, "SICK": sick, "DENIED": denied}

	redirecting := func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return true
		}
		http.Redirect(w, r, "https://"+blobs+r.URL.Path+"?signature=secret", http.StatusTemporaryRedirect)
		return false
	}
	bearer := func(realm string) func(http.ResponseWriter, *http.Request, string) bool {
		return func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.Header.Get("Authorization") == "Bearer pass-to-the-registry" {
				return true
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="reg"`, realm))
			w.WriteHeader(http.StatusUnauthorized)
			return false
		}
	}
	basic := func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if user, password, ok := r.BasicAuth(); ok && user == "me" && password == "right" {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	repository := func(path string, code int) func(http.ResponseWriter, *http.Request, string) bool {
		return func(w http.ResponseWriter, r *http.Request, client string) bool {
			if strings.Contains(r.URL.Path, path) && client != "bravo" {
				w.WriteHeader(code)
				return false
			}
			return true
		}
	}
	manifestAs := func(mediaType string) func(http.ResponseWriter, *http.Request, string) bool {
		return func(w http.ResponseWriter, r *http.Request, client string) bool {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return true
			}
			rec := httptest.NewRecorder()
			serve(t, nil)(rec, r, client)
			w.Header()["Content-Type"] = nil
			if mediaType != "" {
				w.Header().Set("Content-Type", mediaType)
			}
			_, _ = w.Write(rec.Body.Bytes())
			return false
		}
	}
	pairs := files{"ca": serverCA, "alpha": alpha, "bravo": bravo}
	tests := []struct {
		name   string
		guard  func(http.ResponseWriter, *http.Request, string) bool
		in     files
		root   files
		target string
		secret string
		want   []string
	}{
		{name: "works", in: pairs, target: "/team/app", want: []string{"works: a pull would work, with alpha.cert"}},
		{
			name: "what answers everything is no registry, told once", in: files{"ca": serverCA}, target: "/team/app",
			guard: func(w http.ResponseWriter, _ *http.Request, _ string) bool {
				w.WriteHeader(http.StatusTeapot)
				return false
			},
			want: []string{"error no-registry REG: 418 I'm a teapot -> is this the registry's right name and port?", fails},
		},
		{
			name: "another certificate for a repository", guard: repository("/team/", 403), in: pairs, target: "/team/app",
			want: []string{"works: a pull would work, with bravo.cert"},
		},
		{
			name: "no certificate for a repository", guard: repository("/team/", 403), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				"error all-refused REG/team/app:latest: 403 Forbidden for alpha.cert -> ask the registry's owner which of these certificates has access to this repository",
				fails,
			},
		},
		{
			name: "no certificate of two for a repository", guard: repository("/team/", 403), in: files{"ca": serverCA, "alpha": alpha, "charlie": charlie}, target: "/team/app",
			want: []string{
				"error all-refused REG/team/app:latest: 403 Forbidden for each of alpha.cert, charlie.cert -> ask the registry's owner which of these certificates has access to this repository",
				fails,
			},
		},
		{
			name: "a mirror that refuses everything, and a server that refuses the repository", guard: repository("/team/", 403),
			in: files{"ca": serverCA, "alpha": alpha, "hosts.toml": "[host.\"https://" + closed + "\"]\n"}, root: of(closed, files{"ca": serverCA, "charlie": charlie}),
			target: "/team/app",
			want: []string{
				"error all-refused REG/team/app:latest: 403 Forbidden for alpha.cert -> ask the registry's owner which of these certificates has access to this repository",
				"warning all-refused CLOSED: 403 Forbidden for charlie.cert -> ask the registry's owner which of these certificates has access; compare their issuer and subject with what the server accepts",
				fails,
			},
		},
		{
			name: "no such tag", in: pairs, target: "/team/tagged",
			want: []string{
				"warning tag-missing REG/team/tagged:latest: the repository is there, but has no tag latest -> name the tag: REG/team/tagged:TAG",
				"works: a pull would work, with alpha.cert",
			},
		},
		{
			name: "no such tag as was named", in: pairs, target: "/team/tagged:2.0",
			want: []string{
				"error tag-missing REG/team/tagged:2.0: the repository is there, but has no tag 2.0 -> name the tag: REG/team/tagged:TAG",
				fails,
			},
		},
		{
			name: "no such tag, and a list of tags that is refused", guard: repository("/tags/list", 403), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/tagged",
			want: []string{
				"error not-found REG/team/tagged:latest: 404 Not Found -> correct the name or the tag: the repository's list of tags would show which, but could not be read " +
					"(REG answers 403 Forbidden for the list of tags: permission denied)",
				fails,
			},
		},
		{
			name: "a repository that asks for nothing that can be answered", guard: challenging("", "/team/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				"error no-registry REG/team/app:latest: 401 Unauthorized -> server REG answers 401 without a challenge (WWW-Authenticate): it does not say how to authenticate, so no password can be sent: " +
					"ask the registry's owner: a proxy in front of the registry may remove the header, or require a client certificate",
				fails,
			},
		},
		{
			name: "a repository that asks by another scheme", guard: challenging("Negotiate", "/team/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				`error no-registry REG/team/app:latest: 401 Unauthorized -> server REG answers 401 with a challenge that clients of registries do not answer: "Negotiate": ` +
					"ask the registry's owner: the registry, or the proxy in front of it, must ask for Basic, or for Bearer with a realm",
				fails,
			},
		},
		{
			name: "all asks by another scheme, and there is a password", guard: challenging("Negotiate", "/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app", secret: "right",
			want: []string{
				`error no-registry REG: 401 Unauthorized with a challenge that clients of registries do not answer: "Negotiate" -> ` +
					"ask the registry's owner: the registry, or the proxy in front of it, must ask for Basic, or for Bearer with a realm",
				fails,
			},
		},
		{
			name: "all asks for nothing", guard: challenging("", "/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				"error no-registry REG: 401 Unauthorized without a challenge (WWW-Authenticate): it does not say how to authenticate, so no password can be sent -> " +
					"ask the registry's owner: a proxy in front of the registry may remove the header, or require a client certificate",
				fails,
			},
		},
		{
			name: "a token that nobody has", guard: challenging("Bearer service=x", "/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				`error no-registry REG: 401 Unauthorized with a challenge that clients of registries do not answer: "Bearer" without the realm of a token server -> ` +
					"ask the registry's owner: the registry, or the proxy in front of it, must ask for Basic, or for Bearer with a realm",
				fails,
			},
		},
		{
			name: "Basic without a realm", guard: challenging("Basic", "/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				"error credentials-missing REG: 401 Unauthorized: it requires a user and a password, and Docker's config.json has none for it -> " +
					"docker login REG, or give the client a pull secret; client certificates do not help here",
				fails,
			},
		},
		{
			name: "a token server in plain HTTP", guard: challenging(`Bearer realm=http://auth.test/token?secret=x`, "/"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				`error token-server auth.test: the registry names a token server in plain HTTP, which is refused: realm="http://auth.test/token" -> ` +
					"behind a proxy that ends TLS, set the registry's external URL to https://, or have the proxy send X-Forwarded-Proto: https",
				fails,
			},
		},
		{
			name: "plain text for a manifest", guard: answering("text/plain", "not here"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				`error pull-failed REG/team/app:latest: https://REG/v2/team/app/manifests/latest answers 200 with "text/plain", which is not a manifest: it is not valid JSON from byte 2 on: push the image again, or ask the registry's owner what is stored there`,
				fails,
			},
		},
		{
			name: "a manifest as plain text", guard: manifestAs("text/plain"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{"works: a pull would work, with alpha.cert"},
		},
		{
			name: "a manifest as nothing", guard: manifestAs(""), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{"works: a pull would work, with alpha.cert"},
		},
		{
			name: "a manifest as a page", guard: manifestAs("text/html"), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{"works: a pull would work, with alpha.cert"},
		},
		{
			name: "no such repository", in: pairs, target: "/team/none",
			want: []string{"error not-found REG/team/none:latest: 404 Not Found -> correct the name; some registries also answer 404 to clients without access", fails},
		},
		{
			name: "no such digest", in: pairs, target: "/team/app@sha256:" + strings.Repeat("0", 64),
			want: []string{
				"error not-found REG/team/app@sha256:" + strings.Repeat("0", 64) + ": 404 Not Found -> correct the name; some registries also answer 404 to clients without access",
				fails,
			},
		},
		{
			name: "blobs at a host that asks for a certificate", guard: redirecting, in: pairs, target: "/team/app",
			want: []string{
				"error other-host-asks BLOBS: a redirect of REG leads there, and it asks for a client certificate: TLS alert 116, certificate required: it requires a client certificate -> " +
					"create ROOT/BLOBS_ with NAME.cert and NAME.key, and with the CA root that signed its certificate as NAME.crt unless the system has it",
				fails,
			},
		},
		{
			name: "layers at a host that asks for a certificate", guard: func(w http.ResponseWriter, r *http.Request, client string) bool {
				return strings.HasSuffix(r.URL.Path, configBlob) || redirecting(w, r, client)
			}, in: pairs, target: "/team/app",
			want: []string{
				"error other-host-asks BLOBS: a redirect of REG leads there, and it asks for a client certificate: TLS alert 116, certificate required: it requires a client certificate -> " +
					"create ROOT/BLOBS_ with NAME.cert and NAME.key, and with the CA root that signed its certificate as NAME.crt unless the system has it",
				fails,
			},
		},
		{
			name: "blobs at a host that refuses the certificate", guard: redirecting, in: pairs, root: of(blobs, files{"ca": serverCA, "stranger": stranger}), target: "/team/app",
			want: []string{
				"error certificate-refused BLOBS: a redirect of REG leads there: TLS alert 48, unknown certificate authority: it does not know the CA that issued the client certificate (stranger.cert) -> " +
					"ask its owner which certificate it accepts, and put that one into ROOT/BLOBS_",
				fails,
			},
		},
		{
			name: "blobs at a host with a directory", guard: redirecting, in: pairs, root: of(blobs, pairs), target: "/team/app",
			want: []string{"works: a pull would work, with alpha.cert"},
		},
		{
			name: "a token server that asks for a certificate", guard: bearer(auth), in: pairs, target: "/team/app",
			want: []string{
				"error other-host-asks AUTH: the token server of REG asks for a client certificate: TLS alert 116, certificate required: it requires a client certificate -> " +
					"create ROOT/AUTH_ with NAME.cert and NAME.key, and with the CA root that signed its certificate as NAME.crt unless the system has it",
				fails,
			},
		},
		{
			name: "a token server with a directory", guard: bearer(auth), in: pairs, root: of(auth, pairs), target: "/team/app",
			want: []string{"works: a pull would work, with alpha.cert"},
		},
		{
			name: "a sick token server", guard: bearer(sick), in: pairs,
			want: []string{
				"error token-server SICK: the token server gave no token: 500 Internal Server Error -> look into the log of SICK",
				fails,
			},
		},
		{
			name: "a token server that is down", guard: bearer("127.0.0.1:1"), in: pairs,
			want: []string{
				"error token-server 127.0.0.1:1: the token server cannot be asked: connection refused: nothing listens there -> check that it is running and that no firewall is in between",
				fails,
			},
		},
		{
			name: "a token server that wants credentials", guard: bearer(denied), in: pairs,
			want: []string{
				"error token-server DENIED: the token server gave no token: 401 Unauthorized -> docker login REG",
				fails,
			},
		},
		{
			name: "a password", guard: basic, in: pairs, target: "/team/app", secret: "right",
			want: []string{"works: a pull would work, with alpha.cert"},
		},
		{
			name: "a wrong password", guard: basic, in: pairs, secret: "wrong-password",
			want: []string{"error credentials-refused REG: 401 Unauthorized for the credentials in Docker's config.json -> docker login REG", fails},
		},
		{
			name: "a page for a manifest", guard: func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if !strings.Contains(r.URL.Path, "/manifests/") {
					return false
				}
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "<html>Sign in")
				return true
			}, in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				`error pull-failed REG/team/app:latest: https://REG/v2/team/app/manifests/latest answers 200 with "text/html", which is not a manifest: it is a web page: is this the registry's right name and port?`,
				fails,
			},
		},
		{
			name: "broken manifests", guard: repository("/manifests/", 500), in: files{"ca": serverCA, "alpha": alpha}, target: "/team/app",
			want: []string{
				"error server-error REG/team/app:latest: 500 Internal Server Error for alpha.cert -> look into the server's log; if only some certificates get this answer, ask its owner which one has access",
				fails,
			},
		},
		{
			name: "a token that is no use without a repository", guard: func(w http.ResponseWriter, r *http.Request, c string) bool {
				if r.URL.Path == "/v2/" {
					r.Header.Del("Authorization")
				}
				return bearer(auth)(w, r, c)
			}, in: pairs, root: of(auth, pairs),
			want: []string{
				"warning credentials-unknown REG: 401 Unauthorized for an anonymous token: whether a pull without credentials is allowed depends on the repository -> name one: certsd check --root ROOT REG/REPOSITORY",
				"works: a pull would work: https://REG/v2 answers, with alpha.cert",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, root := server{auth: tls.VerifyClientCertIfGiven, handle: serve(t, tt.guard)}.start(t), t.TempDir()
			write(t, root, of(host, tt.in))
			write(t, root, tt.root)
			c := &Checker{}
			if tt.secret != "" {
				c.Credentials = func(string) (string, string, error) { return "me", tt.secret, nil }
			}
			all := map[string]string{"REG": host}
			maps.Copy(all, names)
			compare(t, tt.want, lines(run1(t, c, root, host+tt.target), root, all))
		})
	}
}

// A certificate that nobody asks for is not what opens a registry.
func TestPullWithoutAsking(t *testing.T) {
	t.Parallel()
	host, root := server{handle: serve(t, func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if strings.Contains(r.URL.Path, "/tagged/") {
			w.WriteHeader(http.StatusForbidden)
			return false
		}
		return true
	})}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "alpha": alpha}))
	names := map[string]string{"REG": host}
	r := run1(t, &Checker{}, root, host+"/team/app")
	compare(t, []string{"works: a pull would work, without a client certificate"}, lines(r, root, names))
	for _, request := range r.Pull.Requests {
		if request.Identity != "" {
			t.Errorf("%+v", request)
		}
	}
	compare(t, []string{
		"error not-asked REG/team/tagged:v1: 403 Forbidden, and the server did not ask for a client certificate: none was presented -> " +
			"enable client certificates at the server (nginx: ssl_verify_client, Apache: SSLVerifyClient), or look at user and password",
		"refused: a pull would fail",
	}, lines(run1(t, &Checker{}, root, host+"/team/tagged:v1"), root, names))
}

// Nothing that is secret is in any form of the report, nor in what is told for
// debugging, whatever a server makes of it.
func TestNoSecretIsShown(t *testing.T) {
	t.Parallel()
	const password, token = "correct-horse-battery", "tokens-are-secret-too"
	credentials := base64.StdEncoding.EncodeToString([]byte("me:" + password))
	blobs := server{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		http.Error(w, r.URL.String()+r.Header.Get("Authorization"), http.StatusForbidden)
	}}.start(t)
	auth := server{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		_, _ = io.WriteString(w, `{"token":"`+token+`","access_token":"`+token+`"}`)
	}}.start(t)
	// The registry repeats what it was sent wherever it can.
	host := server{auth: tls.RequestClientCert, handle: serve(t, func(w http.ResponseWriter, r *http.Request, client string) bool {
		given := r.Header.Get("Authorization")
		switch {
		case given == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+auth+`/token",service="reg"`)
			http.Error(w, "who?", http.StatusUnauthorized)
		case client == "alpha":
			http.Error(w, "not with "+given+" "+r.Header.Get("X-Team"), http.StatusForbidden)
		case strings.Contains(r.URL.Path, "/blobs/"):
			http.Redirect(w, r, "https://me:"+password+"@"+blobs+r.URL.Path+"?signature="+token, http.StatusTemporaryRedirect)
		default:
			return true
		}
		return false
	})}.start(t)
	root := t.TempDir()
	pairs := files{"ca": serverCA, "alpha": alpha, "bravo": bravo}
	for _, other := range []string{host, auth, blobs} {
		write(t, root, of(other, pairs))
	}
	write(t, root, of(host, files{"hosts.toml": "[header]\nX-Team = \"header-value-is-secret\"\n"}))
	var mu sync.Mutex
	var told bytes.Buffer
	c := &Checker{
		Credentials: func(string) (string, string, error) { return "me", password, nil },
		Debug: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(&told, format+"\n", args...)
		},
	}
	r := run1(t, c, root, host+"/team/app")
	if r.Verdict != Refused || r.Pull == nil || len(r.Pull.Requests) < 4 {
		t.Fatalf("the blob was not asked for: %q", lines(r, root, nil))
	}
	report := &Report{Version: Version, Registries: []*Registry{r}}
	asTable := func(w io.Writer, r *Report) error { return WriteTable(w, r, Table{Overview: true}) }
	for _, write := range []func(io.Writer, *Report) error{WriteJSON, WriteLines, asTable} {
		if err := write(&told, report); err != nil {
			t.Fatal(err)
		}
	}
	secrets := []string{password, token, credentials, "header-value-is-secret", "signature="}
	for _, p := range []*certtest.Pair{alpha, bravo} {
		for line := range strings.Lines(string(p.KeyPEM)) {
			if !strings.HasPrefix(line, "-----") {
				secrets = append(secrets, strings.TrimSpace(line))
			}
		}
	}
	for _, secret := range secrets {
		if i := strings.Index(told.String(), secret); i >= 0 {
			t.Errorf("%q is shown: %s", secret, told.String()[max(0, i-200):min(told.Len(), i+100)])
		}
	}
}

// challenging answers 401 with a challenge to what is below a path.
func challenging(challenge, path string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if !strings.Contains(r.URL.Path, path) {
			return true
		}
		if challenge != "" {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
}

// answering has something else for each manifest.
func answering(mediaType, body string) func(http.ResponseWriter, *http.Request, string) bool {
	return func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return true
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = io.WriteString(w, body)
		return false
	}
}

// A missing tag of a Registry v1 is told as one, too.
func TestTagMissingInV1(t *testing.T) {
	t.Parallel()
	host, root := server{handle: func(w http.ResponseWriter, r *http.Request, _ string) {
		switch r.URL.Path {
		case "/v1/_ping":
			_, _ = io.WriteString(w, "true")
		case "/v1/repositories/team/old/tags":
			_, _ = io.WriteString(w, `{"1.0":"`+strings.Repeat("0", 64)+`"}`)
		case "/v1/repositories/team/old/images":
			_, _ = io.WriteString(w, "[]")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA}))
	r := run1(t, &Checker{}, root, host+"/team/old:2.0")
	got := strings.Join(lines(r, root, map[string]string{"REG": host}), "\n")
	if want := "error tag-missing REG/team/old:2.0: the repository is there, but has no tag 2.0 -> name the tag: REG/team/old:TAG"; !strings.Contains(got, want) {
		t.Errorf("lacks %q:\n%s", want, got)
	}
}
