package resolver_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// The secrets of a pull whose registry repeats them.
const (
	echoedPassword  = "Correct/horse+1"
	echoedToken     = "eyJhbGciOiJub25lIn0.payload-of-a-token"
	echoedDirectory = "header-of-the-directory"
	echoedPull      = "header-of-the-pull"
	echoedSignature = "Signature-0123456789"
)

// repeated is all that a request brought along, as a careless server's debug
// page has it.
func repeated(r *http.Request) string {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	parts := []string{r.Method, r.URL.String(), r.URL.RawQuery, string(body)}
	for name, values := range r.Header {
		parts = append(parts, name+": "+strings.Join(values, ","))
	}
	text := strings.Join(parts, " ")
	if user, password, ok := r.BasicAuth(); ok {
		text += " user " + user + " password " + password
	}
	_ = r.ParseForm()
	return text + fmt.Sprint(r.Form) + " \x1b[31m\u202e"
}

// TestEchoesAreTakenOut sends each secret of a pull to servers that repeat them in
// each place of an answer, and looks for them in the errors.
func TestEchoesAreTakenOut(t *testing.T) {
	t.Parallel()
	raw := func(w http.ResponseWriter, text string) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
	line := func(s string) string { return strings.NewReplacer("\r", " ", "\n", " ", "\x1b", "").Replace(s) }
	for name, answer := range map[string]func(w http.ResponseWriter, text string){
		"the body": func(w http.ResponseWriter, text string) { http.Error(w, text, http.StatusForbidden) },
		"JSON": func(w http.ResponseWriter, text string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": "DENIED", "message": text, "detail": text}}})
		},
		"JSON of a token server": func(w http.ResponseWriter, text string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]any{"error": "invalid_grant", "error_description": text, "details": text})
		},
		"a page": func(w http.ResponseWriter, text string) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "<html><title>"+text+"</title></html>")
		},
		"the reason phrase": func(w http.ResponseWriter, text string) {
			raw(w, "HTTP/1.1 403 "+line(text)+"\r\nContent-Length: 0\r\n\r\n")
		},
		"the challenge": func(w http.ResponseWriter, text string) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://127.0.0.1:1/token",error="insufficient_scope",error_description="`+strings.ReplaceAll(line(text), `"`, "")+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"the type": func(w http.ResponseWriter, text string) {
			raw(w, "HTTP/1.1 200 OK\r\nContent-Type: "+line(text)+"\r\nContent-Length: 2\r\n\r\n{}")
		},
		"the digest": func(w http.ResponseWriter, text string) {
			raw(w, "HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:"+line(text)+"\r\nContent-Type: "+ocispec.MediaTypeImageManifest+"\r\nContent-Length: 2\r\n\r\n{}")
		},
		"a location": func(w http.ResponseWriter, text string) {
			raw(w, "HTTP/1.1 302 Found\r\nLocation: /v2/"+strings.ReplaceAll(line(text), " ", "%20")+"\r\nContent-Length: 0\r\n\r\n")
		},
	} {
		for _, where := range []string{"the registry", "the token server", "the target of a redirect"} {
			t.Run(name+" of "+where, func(t *testing.T) {
				t.Parallel()
				other := newRegistry(t, nil)
				other.Guard(func(w http.ResponseWriter, r *http.Request, _ string) bool {
					if r.URL.Path == "/token" && where != "the token server" {
						_ = json.NewEncoder(w).Encode(map[string]string{"token": echoedToken, "access_token": echoedToken})
						return true
					}
					answer(w, repeated(r))
					return true
				})
				r := newRegistry(t, nil)
				r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
					switch {
					case req.Header.Get("Authorization") != "Bearer "+echoedToken:
						w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r",scope="repository:app:pull"`, other.Host))
						w.WriteHeader(http.StatusUnauthorized)
					case where == "the target of a redirect":
						http.Redirect(w, req, "https://"+other.Host+"/signed?sig="+echoedSignature, http.StatusTemporaryRedirect)
					default:
						answer(w, repeated(req))
					}
					return true
				})
				root := t.TempDir()
				writeHeader(t, privateDir(t, root, r, other), r, echoedDirectory)
				res := resolver.New(resolver.Options{
					Hosts:       newHosts(t, root),
					Header:      http.Header{"X-Pull": {echoedPull}},
					Credentials: func(string) (string, string, error) { return "jo", echoedPassword, nil },
				})
				ref := r.Host + "/app:1"
				_, _, err := res.Resolve(t.Context(), ref)
				errs := []error{err}
				if fetcher, err := res.Fetcher(t.Context(), ref); err == nil {
					_, err := fetcher.Fetch(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("a layer"), Size: 2})
					errs = append(errs, err)
				}
				if len(errs) == 0 || errs[0] == nil {
					t.Fatalf("there is no error: nothing was tested: %v", errs)
				}
				for _, err := range errs {
					if err == nil {
						continue
					}
					for _, secret := range []string{echoedPassword, echoedToken, echoedDirectory, echoedPull, echoedSignature} {
						for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte("jo:" + secret))} {
							if strings.Contains(err.Error(), form) {
								t.Errorf("the error has %q:\n%s", form, err)
							}
						}
					}
					if strings.ContainsAny(err.Error(), "\x1b\u202e\u009b") {
						t.Errorf("the error has escapes: %q", err)
					}
				}
			})
		}
	}
}
