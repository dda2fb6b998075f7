package check

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// TestSchema1 holds check to what a pull does with a schema 1 image, without
// having its layers.
func TestSchema1(t *testing.T) {
	t.Parallel()
	layer := v1test.Gzip(v1test.Tar(map[string]string{"hello": "hi"}))
	manifest := func(compat string) []byte {
		body, err := json.Marshal(map[string]any{
			"schemaVersion": 1, "name": "old/app", "tag": "1", "architecture": "amd64",
			"fsLayers": []map[string]string{{"blobSum": digest.FromBytes(layer).String()}},
			"history":  []map[string]string{{"v1Compatibility": compat}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	const again = " -> the registry's image of this name cannot be used: push it again"
	sound := manifest(`{"id":"` + strings.Repeat("a", 64) + `","os":"linux","architecture":"amd64"}`)
	for name, test := range map[string]struct {
		manifest, layer []byte
		want            string
	}{
		"sound":            {sound, layer, "works: a pull would work, with alpha.cert"},
		"no layer":         {sound, nil, "404 Not Found"},
		"another layer":    {sound, v1test.Gzip(v1test.Tar(nil)), again},
		"a page":           {sound, []byte("<html>Sign in"), "not a layer but a page or message: a proxy or login page answered with status 200 -> have the proxy or login in front of the registry let layers through, or ask the registry's owner"},
		"no history":       {manifest(`"aaaa"`), layer, "history[0]: it is JSON, but a string where an object belongs" + again},
		"history is prose": {manifest(`aaaa`), layer, "history[0]: it is not valid JSON from byte 1 on" + again},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handle := func(w http.ResponseWriter, r *http.Request, _ string) {
				switch {
				case r.URL.Path == "/v2/":
				case strings.Contains(r.URL.Path, "/manifests/1"):
					w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
					_, _ = w.Write(test.manifest)
				case strings.Contains(r.URL.Path, "/blobs/") && test.layer != nil:
					_, _ = w.Write(test.layer)
				default:
					http.Error(w, "", http.StatusNotFound)
				}
			}
			host, root := server{auth: tls.VerifyClientCertIfGiven, handle: handle}.start(t), t.TempDir()
			write(t, root, of(host, files{"ca": serverCA, "alpha": alpha}))
			got := strings.Join(lines(run1(t, &Checker{}, root, host+"/old/app:1"), root, nil), "\n")
			if !strings.Contains(got, test.want) || strings.Contains(got, "works") != (name == "sound") {
				t.Errorf("%s\nwant %q", got, test.want)
			}
		})
	}
}

// TestRefuted is about what a pull that works shows to be no fault.
func TestRefuted(t *testing.T) {
	t.Parallel()
	page := server{handle: func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>Sign in")
	}}.start(t)
	for name, path := range map[string]string{"the whole API": "/v2/", "its root alone": "/v2/$"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			leads := func(w http.ResponseWriter, r *http.Request, client string) bool {
				if client == "bravo" && (path == "/v2/" || r.URL.Path != "/v2/") {
					return true
				}
				http.Redirect(w, r, "https://"+page+"/login", http.StatusFound)
				return false
			}
			// bravo is let in; stranger's issuer is none that the server names.
			host, root := server{auth: tls.RequestClientCert, handle: serve(t, leads)}.start(t), t.TempDir()
			write(t, root, of(host, files{"ca": serverCA, "alpha": stranger, "bravo": bravo}))
			write(t, root, of(page, files{"ca": serverCA}))
			compare(t, []string{"works: a pull would work, with bravo.cert"}, lines(run1(t, &Checker{}, root, host+"/team/app"), root, nil))
		})
	}
}
