package resolver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/resolver"
)

// doors is a registry behind TLS, another one that it may lead to, and a server
// in plain HTTP that nothing may lead to.
type doors struct {
	registry, other *mtlsRegistry
	// third leads to other.
	third *mtlsRegistry
	plain string // URL
	blob  []byte
	desc  ocispec.Descriptor
	list  *signatures
	res   *resolver.Resolver
	hosts *resolver.Hosts
}

func (d *doors) resolve(t *testing.T) error {
	t.Helper()
	_, _, err := d.res.Resolve(t.Context(), d.registry.Host+"/app:1")
	return err
}

func (d *doors) fetch(t *testing.T) error { t.Helper(); return d.fetchFrom(t) }

func (d *doors) fetchURLs(t *testing.T) error {
	t.Helper()
	return d.fetchFrom(t, d.plain+"/layer", "HTTP"+strings.TrimPrefix(d.plain, "http")+"/layer", "https://"+d.other.Host+"/layer")
}

func (d *doors) fetchFrom(t *testing.T, urls ...string) error {
	t.Helper()
	desc := d.desc
	desc.URLs = urls
	got, err := readAll(t, newFetcher(t, resolver.Options{Hosts: d.hosts}, d.registry.Host+"/app:1"), desc)
	if err == nil && !bytes.Equal(got, d.blob) {
		err = fmt.Errorf("%d other bytes", len(got))
	}
	return err
}

func (d *doors) push(t *testing.T) error {
	t.Helper()
	p, err := d.res.Pusher(t.Context(), d.registry.Host+"/app:1")
	if err != nil {
		return err
	}
	w, err := p.Push(t.Context(), d.desc)
	if err != nil {
		return err
	}
	defer w.Close()
	return content.Copy(context.WithoutCancel(t.Context()), w, bytes.NewReader(d.blob), d.desc.Size, d.desc.Digest)
}

func (d *doors) tags(t *testing.T) error {
	t.Helper()
	got, err := d.res.Tags(t.Context(), d.registry.Host+"/app")
	if err == nil {
		if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" {
			err = fmt.Errorf("tags (-want +got):\n%s", diff)
		}
	}
	return err
}

func (d *doors) referrers(t *testing.T) error {
	t.Helper()
	got, err := fetchReferrers(t, d.hosts, d.registry.Host+"/app:1", d.list.subject)
	if err == nil {
		if diff := cmp.Diff([]string{"application/x-0", "application/x-1"}, got); diff != "" {
			err = fmt.Errorf("referrers (-want +got):\n%s", diff)
		}
	}
	return err
}

// asks is a challenge for a token of a server.
func asks(w http.ResponseWriter, realm string) {
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="s",scope="repository:app:pull"`, realm))
	w.WriteHeader(http.StatusUnauthorized)
}

func leads(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// serve answers for the images of both registries.
func (d *doors) serve(w http.ResponseWriter, r *http.Request) {
	manifest := index(d.list.list...)
	switch path := r.URL.Path; {
	case path == "/v2/app/manifests/1":
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(manifest).String())
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(manifest))
	case path == "/v2/app/blobs/"+d.desc.Digest.String() && r.Method != http.MethodHead:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(d.blob))
	case path == "/v2/app/tags/list":
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "app", "tags": []string{"2"}})
	case strings.HasPrefix(path, "/v2/app/referrers/"):
		_, _ = w.Write(index(d.list.list[1]))
	case r.Method == http.MethodPost:
		w.Header().Set("Location", "/v2/app/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case r.Method == http.MethodPut:
		w.WriteHeader(http.StatusCreated)
	default:
		http.NotFound(w, r)
	}
}

// TestNothingLeadsFromHTTPSToHTTP: each way in which a server says where to go
// on. A registry in TLS leads to no server in plain HTTP, and what cannot be had
// otherwise fails with the cause.
func TestNothingLeadsFromHTTPSToHTTP(t *testing.T) {
	t.Parallel()
	type answer func(d *doors, w http.ResponseWriter, r *http.Request) bool
	to := func(method, path string) answer {
		return func(d *doors, w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, path) || method != "" && r.Method != method {
				return false
			}
			leads(w, d.plain+r.URL.Path)
			return true
		}
	}
	v1 := func(images answer) answer {
		return func(d *doors, w http.ResponseWriter, r *http.Request) bool {
			switch {
			case strings.HasPrefix(r.URL.Path, "/v2/"):
				http.NotFound(w, r)
			case strings.HasSuffix(r.URL.Path, "/_ping"):
				w.Header().Set("X-Docker-Registry-Version", "0.9.1")
				_, _ = io.WriteString(w, "true")
			case strings.HasSuffix(r.URL.Path, "/images"):
				return images(d, w, r)
			default:
				http.NotFound(w, r)
			}
			return true
		}
	}
	endpoints := func(of func(d *doors) string) answer {
		return v1(func(d *doors, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("X-Docker-Endpoints", of(d))
			_, _ = io.WriteString(w, "[]")
			return true
		})
	}
	next := func(path string, body func(d *doors) []byte) answer {
		return func(d *doors, w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, path) || r.URL.RawQuery != "" {
				return false
			}
			w.Header().Set("Link", fmt.Sprintf(`<%s%s?last=1>; rel="next"`, d.plain, r.URL.Path))
			_, _ = w.Write(body(d))
			return true
		}
	}
	everywhere := func(_ *doors, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	}
	refused := "refused to speak plain HTTP with PLAIN: a redirect of https://REGISTRY leads there"
	for name, row := range map[string]struct {
		registry, other answer
		toml            func(d *doors) string
		do              func(*doors, *testing.T) error
		// want is in the error; empty where it is passed over.
		want string
	}{
		"the realm of the registry": {
			registry: func(d *doors, w http.ResponseWriter, _ *http.Request) bool { asks(w, d.plain); return true },
			do:       (*doors).resolve, want: "refused to speak plain HTTP with PLAIN: https://REGISTRY names it",
		},
		"the realm of a redirect's target": {
			registry: func(d *doors, w http.ResponseWriter, r *http.Request) bool {
				leads(w, "https://"+d.other.Host+r.URL.Path)
				return true
			},
			other: func(d *doors, w http.ResponseWriter, _ *http.Request) bool { asks(w, d.plain); return true },
			do:    (*doors).resolve, want: "refused to speak plain HTTP with PLAIN: https://OTHER names it",
		},
		"a redirect of the token server": {
			registry: func(d *doors, w http.ResponseWriter, _ *http.Request) bool {
				asks(w, "https://"+d.other.Host)
				return true
			},
			other: to("", "/token"),
			do:    (*doors).resolve, want: "refused to speak plain HTTP with PLAIN: a redirect of https://OTHER leads there",
		},
		"a redirect of manifests": {registry: to("", "/manifests/"), do: (*doors).resolve, want: refused},
		"a redirect to the registry itself": {
			registry: func(d *doors, w http.ResponseWriter, r *http.Request) bool {
				leads(w, "http://"+d.registry.Host+r.URL.Path)
				return true
			},
			do: (*doors).resolve, want: "refused to speak plain HTTP with REGISTRY: a redirect of https://REGISTRY leads there",
		},
		"a redirect of blobs": {registry: to(http.MethodGet, "/blobs/"), do: (*doors).fetch, want: refused},
		"a redirect of blobs, by another host": {
			registry: func(d *doors, w http.ResponseWriter, r *http.Request) bool {
				leads(w, "https://"+d.other.Host+r.URL.Path)
				return true
			},
			other: to("", "/blobs/"), do: (*doors).fetch, want: refused,
		},
		"a redirect to what hosts.toml names": {
			toml: func(d *doors) string {
				return fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"push\"]\n", "https://"+d.registry.Host, d.plain)
			},
			registry: to("", "/manifests/"), do: (*doors).resolve, want: refused,
		},
		"a redirect where an upload begins": {registry: to(http.MethodPost, ""), do: (*doors).push, want: refused},
		"a redirect of an upload":           {registry: to(http.MethodPut, ""), do: (*doors).push, want: refused},
		"the Location of an upload": {
			registry: func(d *doors, w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost {
					return false
				}
				w.Header().Set("Location", d.plain+"/upload")
				w.WriteHeader(http.StatusAccepted)
				return true
			},
			do: (*doors).push, want: "REGISTRY was asked over https but wants the upload at http://PLAIN, unencrypted, which is refused",
		},
		"urls of a layer": {other: to("", "/layer"), do: (*doors).fetchURLs},
		"urls of a layer that nobody else has": {
			registry: everywhere, other: to("", "/layer"),
			do: (*doors).fetchURLs, want: "404 Not Found",
		},
		"a redirect of a mirror": {
			toml: func(d *doors) string {
				return fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+d.registry.Host, "https://"+d.other.Host)
			},
			other: to("", ""), do: (*doors).resolve,
		},
		"a redirect of the only mirror": {
			toml: func(d *doors) string {
				return fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+d.registry.Host, "https://"+d.other.Host)
			},
			registry: everywhere, other: to("", ""),
			do: (*doors).resolve, want: "refused to speak plain HTTP with PLAIN: a redirect of https://OTHER leads there",
		},
		"the realm of the only mirror": {
			toml: func(d *doors) string {
				return fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+d.registry.Host, "https://"+d.other.Host)
			},
			registry: everywhere, other: func(d *doors, w http.ResponseWriter, _ *http.Request) bool { asks(w, d.plain); return true },
			do: (*doors).resolve, want: "refused to speak plain HTTP with PLAIN: https://OTHER names it",
		},
		"the realm of a target of the only mirror": {
			toml: func(d *doors) string {
				return fmt.Sprintf("server = %q\n[host.%q]\n", "https://"+d.registry.Host, "https://"+d.third.Host)
			},
			registry: everywhere, other: func(d *doors, w http.ResponseWriter, _ *http.Request) bool { asks(w, d.plain); return true },
			do: (*doors).resolve, want: "refused to speak plain HTTP with PLAIN: https://OTHER names it",
		},
		"the Link of a list of tags": {
			registry: next("/tags/list", func(*doors) []byte { return []byte(`{"name":"app","tags":["1"]}`) }), do: (*doors).tags,
		},
		"a redirect of a list of tags": {registry: to("", "/tags/list"), do: (*doors).tags, want: refused},
		"the Link of a list of referrers": {
			registry: next("/referrers/", func(d *doors) []byte { return index(d.list.list[0]) }), do: (*doors).referrers,
		},
		"a redirect of a list of referrers": {registry: to("", "/referrers/"), do: (*doors).referrers, want: refused},
		"X-Docker-Endpoints": {
			registry: endpoints(func(d *doors) string { return strings.TrimPrefix(d.plain, "http://") }),
			do:       (*doors).resolve, want: "PLAIN speaks plain HTTP, not https",
		},
		"X-Docker-Endpoints with a scheme": {
			registry: endpoints(func(d *doors) string { return d.plain }),
			do:       (*doors).resolve, want: "X-Docker-Endpoints: no usable endpoint",
		},
		"a redirect in Registry v1": {
			registry: v1(to("", "")), do: (*doors).resolve, want: "redirect from https to http://PLAIN",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := &doors{list: newSignatures(t, digest.FromString("subject"), 2)}
			plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				t.Errorf("asked in plain HTTP: %s %s", r.Method, r.URL)
				d.serve(w, r)
			}))
			t.Cleanup(plain.Close)
			d.plain = plain.URL
			d.blob, d.desc = layer(1 << 12)
			handler := func(first *answer) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if *first == nil || !(*first)(d, w, r) {
						d.serve(w, r)
					}
				})
			}
			d.registry, d.other = newRegistry(t, handler(&row.registry)), newRegistry(t, handler(&row.other))
			d.third = newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { leads(w, "https://"+d.other.Host+r.URL.Path) }))
			root := t.TempDir()
			dir := d.registry.Dir(t, root)
			d.third.Dir(t, root)
			d.other.Dir(t, root)
			if row.toml != nil {
				write(t, filepath.Join(dir, "hosts.toml"), row.toml(d))
			}
			d.hosts = newHosts(t, root)
			d.res = resolver.New(resolver.Options{Hosts: d.hosts, MaxWait: time.Millisecond, Store: newStore(t)})
			err := row.do(d, t)
			want := strings.NewReplacer("PLAIN", strings.TrimPrefix(d.plain, "http://"), "REGISTRY", d.registry.Host, "OTHER", d.other.Host).Replace(row.want)
			switch {
			case want == "" && err != nil:
				t.Error(err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("error %v\nwant %s", err, want)
			}
			if len(d.registry.Calls()) == 0 {
				t.Error("the registry was not asked: nothing was tested")
			}
		})
	}
}
