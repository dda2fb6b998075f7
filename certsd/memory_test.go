package certsd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// many makes n requests at once and waits for them.
func many(n int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

func count(clients []string, name string) int {
	n := 0
	for _, client := range clients {
		if client == name {
			n++
		}
	}
	return n
}

func TestConcurrentFirstRequestsShareOneDiscovery(t *testing.T) {
	t.Parallel()
	const n = 20
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "d")})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b", "c", "d")
	rt := view(t, dir.transport(t), s.host, nil)
	many(n, func(i int) {
		status, err := send(t, rt, newRequest(t.Context(), t, "GET", s.URL+fmt.Sprintf("/v2/app/blobs/sha256:%d", i), ""))
		if err != nil || status != 200 {
			t.Errorf("status %d, error %v", status, err)
		}
	})
	got := s.clients()
	for client, want := range map[string]int{"a": 1, "b": 1, "c": 1, "d": n} {
		if count(got, client) != want {
			t.Errorf("%d requests of %s, want %d", count(got, client), client, want)
		}
	}
}

func ids(names ...string) []*Identity {
	var ids []*Identity
	for _, name := range names {
		ids = append(ids, &Identity{Name: name})
	}
	return ids
}

// enterer runs memory.enter in the background.
func enterer(m *memory, ctx context.Context, lead bool) chan result { //nolint:revive // the memory is what it is about
	c := make(chan result, 1)
	go func() {
		p, err := m.enter(ctx, "app", time.Now, lead)
		c <- result{p, err}
	}()
	return c
}

type result struct {
	plan
	err error
}

func TestWaitersOfADiscovery(t *testing.T) {
	t.Parallel()
	id := ids("a")[0]
	for name, row := range map[string]struct {
		end  func(m *memory, leave func(bool))
		want func(t *testing.T, a, b result)
	}{
		"with a result they use it": {
			func(m *memory, leave func(bool)) { m.works("app", id, true); leave(false) },
			func(t *testing.T, a, b result) {
				if a.identity != id || b.identity != id {
					t.Errorf("got %v and %v", a, b)
				}
			},
		},
		"in vain they go on alone": {
			func(_ *memory, leave func(bool)) { leave(false) },
			func(t *testing.T, a, b result) {
				if a.identity != nil || a.sick || b.identity != nil || b.sick {
					t.Errorf("got %v and %v", a, b)
				}
			},
		},
		"of a sick server they know": {
			func(m *memory, leave func(bool)) { m.failed("app", true, time.Now()); leave(false) },
			func(t *testing.T, a, b result) {
				if !a.sick || !b.sick {
					t.Errorf("got %v and %v", a, b)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := &memory{}
				leader := <-enterer(m, t.Context(), true)
				a, b := enterer(m, t.Context(), true), enterer(m, t.Context(), false)
				synctest.Wait()
				if len(a) != 0 || len(b) != 0 {
					t.Fatal("somebody did not wait")
				}
				row.end(m, leader.leave)
				ra, rb := <-a, <-b
				row.want(t, ra, rb)
				ra.leave(false)
				rb.leave(false)
			})
		})
	}
}

// One of those who wait takes over from a request that was cancelled.
func TestAbandonedDiscoveryIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		first := <-enterer(m, t.Context(), true)
		waiters := make(chan result, 3)
		for range 3 {
			go func() { waiters <- <-enterer(m, t.Context(), true) }()
		}
		synctest.Wait()
		first.leave(true)
		synctest.Wait()
		if len(waiters) != 1 {
			t.Fatalf("%d went on, want the one that takes over", len(waiters))
		}
		(<-waiters).leave(false)
		synctest.Wait()
		if len(waiters) != 2 {
			t.Errorf("%d of 2 went on", len(waiters))
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		leader := <-enterer(m, t.Context(), true)
		ctx, cancel := context.WithCancelCause(t.Context())
		waiter := enterer(m, ctx, true)
		synctest.Wait()
		why := errors.New("why")
		cancel(why)
		if r := <-waiter; !errors.Is(r.err, why) {
			t.Errorf("error %v", r.err)
		}
		leader.leave(false)
	})
}

func TestMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, id := &memory{}, ids("a", "b")
		m.works("app", id[0], false)
		m.works("app", id[1], false)
		if m.known("app") != id[0] {
			t.Error("what proves nothing takes the place of something")
		}
		m.works("app", id[1], true)
		if m.known("app") != id[1] {
			t.Error("the last one that worked is not remembered")
		}
		m.failed("app", true, time.Now())
		if p, _ := m.enter(t.Context(), "app", time.Now, true); !p.sick || p.identity != id[1] {
			t.Errorf("got %v", p)
		}
		m.works("app", id[1], true)
		if p, _ := m.enter(t.Context(), "app", time.Now, true); p.sick {
			t.Error("a server that answers is still taken for sick")
		}
		m.failed("app", true, time.Now())
		time.Sleep(sickTime)
		if p, _ := m.enter(t.Context(), "app", time.Now, true); p.sick {
			t.Error("a sick server is remembered for ever")
		}
		for i := range 3 * maxRepositories {
			m.works(strconv.Itoa(i), id[0], true)
		}
		if len(m.repos) > maxRepositories {
			t.Errorf("%d repositories are remembered", len(m.repos))
		}
	})
}

// Those who wait must find the discovery they wait for.
func TestDiscoveriesAreNotForgotten(t *testing.T) {
	t.Parallel()
	m, id := &memory{}, ids("a")[0]
	leader := <-enterer(m, t.Context(), true)
	for i := range 2 * maxRepositories {
		m.works(strconv.Itoa(i), id, true)
	}
	if e := m.repos["app"]; e == nil || e.discovery == nil {
		t.Error("it was forgotten")
	}
	leader.leave(false)
}

// A sick server does not see each request as many times as there are pairs, a
// server that refuses does: a permission may be granted the next moment.
func TestRoundsWithoutSuccess(t *testing.T) {
	t.Parallel()
	all := func(status int) map[string]int { return map[string]int{"a": status, "b": status, "c": status} }
	for name, row := range map[string]struct {
		first, second map[string]int
		want          []string // of the second request
		status        int      // of its answer
	}{
		"all 503":                   {all(503), all(503), []string{"a"}, 503},
		"all 403":                   {all(403), all(403), []string{"a", "b", "c"}, 403},
		"one 403, else 502":         {map[string]int{"a": 502, "b": 403, "c": 502}, all(502), []string{"a", "b", "c"}, 502},
		"503, then refused":         {all(503), all(403), []string{"a", "b", "c"}, 403},
		"503, then well again":      {all(503), map[string]int{"a": 403, "b": 200, "c": 403}, []string{"a", "b"}, 200},
		"503, then refused and 503": {all(503), map[string]int{"a": 403, "b": 503, "c": 200}, []string{"a", "b"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, req *http.Request, client string) {
				status := row.first
				if strings.HasSuffix(req.URL.Path, "2") {
					status = row.second
				}
				w.WriteHeader(status[client])
			}})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b", "c")
			rt := view(t, dir.transport(t), s.host, nil)
			get(t, rt, s.URL+"/v2/app/blobs/1")
			if diff := cmp.Diff([]string{"a", "b", "c"}, s.clients()); diff != "" {
				t.Errorf("first request (-want +got):\n%s", diff)
			}
			if status := get(t, rt, s.URL+"/v2/app/blobs/2"); status != row.status {
				t.Errorf("status %d, want %d", status, row.status)
			}
			if diff := cmp.Diff(row.want, s.clients()); diff != "" {
				t.Errorf("second request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRepositoryOf(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ path, root, context, want string }{
		"manifest":                      {path: "/v2/a/b/manifests/latest", want: "a/b"},
		"blob":                          {path: "/v2/app/blobs/sha256:1", want: "app"},
		"upload":                        {path: "/v2/app/blobs/uploads/uuid", want: "app"},
		"tags":                          {path: "/v2/app/tags/list", want: "app"},
		"referrers":                     {path: "/v2/app/referrers/sha256:1", want: "app"},
		"a name of the words of routes": {path: "/v2/tags/blobs/x/manifests/manifests", want: "tags/blobs/x"},
		"base":                          {path: "/v2/", want: ""},
		"catalog":                       {path: "/v2/_catalog", want: ""},
		"another root":                  {path: "/api/oci/v2/app/manifests/1", root: "/api/oci/v2", want: "app"},
		"a root with the name in it":    {path: "/v2/proxy/app/manifests/1", root: "/v2/proxy", want: "app"},
		"v1 index":                      {path: "/v1/repositories/busybox/images", want: "busybox"},
		"v1 tags":                       {path: "/v1/repositories/library/busybox/tags", want: "busybox"},
		"v1 tag":                        {path: "/v1/repositories/library/busybox/tags/latest", want: "busybox"},
		"v1 tag called images":          {path: "/v1/repositories/a/b/tags/images", want: "a/b"},
		"v1 image":                      {path: "/v1/images/0123/json", context: "a/b", want: "a/b"},
		"token":                         {path: "/token", context: "a/b", want: "a/b"},
		"v1 image of library":           {path: "/v1/images/0123/json", context: "library/busybox", want: "busybox"},
		"the path goes first":           {path: "/v2/app/tags/list", context: "a/b", want: "app"},
		"nothing known":                 {path: "/token", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if row.context != "" {
				ctx = WithRepository(ctx, row.context)
			}
			if got := repositoryOf(newRequest(ctx, t, "GET", "https://h"+row.path, ""), row.root); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// Nobody waits for an upload that may take hours.
func TestUploadIsNoDiscovery(t *testing.T) {
	t.Parallel()
	pulled := make(chan struct{})
	uploading := make(chan struct{})
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(_ http.ResponseWriter, r *http.Request, _ string) {
		if r.Method == http.MethodPut {
			close(uploading)
			<-pulled
		}
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b")
	rt := view(t, dir.transport(t), s.host, nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := send(t, rt, newRequest(t.Context(), t, "PUT", s.URL+"/v2/app/blobs/uploads/1", "layer")); err != nil {
			t.Error(err)
		}
	})
	<-uploading
	get(t, rt, s.URL+"/v2/app/manifests/1")
	close(pulled)
	wg.Wait()
}
