package certsd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

func TestRotationTriesAlphabeticallyAndRemembers(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403, "h")})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b", "c", "d", "e", "f", "g", "h")
	rt := view(t, dir.transport(t), s.host, nil)

	if status := get(t, rt, s.URL+"/v2/team/app/manifests/latest"); status != 200 {
		t.Errorf("status %d", status)
	}
	want := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	if diff := cmp.Diff(want, s.clients()); diff != "" {
		t.Errorf("first request of a repository (-want +got):\n%s", diff)
	}
	for _, path := range []string{"/v2/team/app/manifests/latest", "/v2/team/app/blobs/sha256:1", "/v2/team/app/blobs/uploads/"} {
		get(t, rt, s.URL+path)
	}
	if diff := cmp.Diff([]string{"h", "h", "h"}, s.clients()); diff != "" {
		t.Errorf("further requests of the repository (-want +got):\n%s", diff)
	}
	if id := rt.preferred("team/app"); nameOf(id) != "h.cert" {
		t.Errorf("preferred is %q", nameOf(id))
	}
	get(t, rt, s.URL+"/v2/team/other/manifests/latest")
	if diff := cmp.Diff(want, s.clients()); diff != "" {
		t.Errorf("first request of another repository (-want +got):\n%s", diff)
	}
	if s.conns != 8 {
		t.Errorf("%d connections, want one for each identity", s.conns)
	}
}

func TestRotationByStatus(t *testing.T) {
	t.Parallel()
	both, one := []string{"a", "b"}, []string{"a"}
	for name, row := range map[string]struct {
		method, path, body string
		status             int
		contentType, page  string
		rotateOn           []string
		want               []string
	}{
		"403 moves on":                           {status: 403, want: both},
		"500 moves on":                           {status: 500, want: both},
		"502 moves on":                           {status: 502, want: both},
		"599 moves on":                           {status: 599, want: both},
		"401 stays":                              {status: 401, want: one},
		"404 stays on v2":                        {status: 404, want: one},
		"404 moves on for v1":                    {path: "/v1/images/x/json", status: 404, want: both},
		"429 stays":                              {status: 429, want: one},
		"200 stays":                              {status: 200, want: one},
		"307 without location stays":             {status: 307, want: one},
		"495 moves on":                           {status: 495, want: both},
		"496 moves on":                           {status: 496, want: both},
		"HEAD 403 moves on":                      {method: "HEAD", status: 403, want: both},
		"400 of nginx for no certificate":        {status: 400, page: "<h1>No required SSL certificate was sent</h1>", want: both},
		"400 of nginx for a refused certificate": {status: 400, page: "<title>400 The SSL certificate error</title>", want: both},
		"400 with another page stays":            {status: 400, page: "<h1>Bad Request</h1>", want: one},
		"400 on HEAD that is HTML moves on":      {method: "HEAD", status: 400, contentType: "text/html", want: both},
		"400 on HEAD that is JSON stays":         {method: "HEAD", status: 400, contentType: "application/json; charset=utf-8", want: one},
		"400 on HEAD that is +json stays":        {method: "HEAD", status: 400, contentType: "application/vnd.oci.error+json", want: one},
		"POST 403 moves on":                      {method: "POST", status: 403, body: "hello", want: both},
		"POST 503 stays":                         {method: "POST", status: 503, body: "hello", want: one},
		"PUT 500 stays":                          {method: "PUT", status: 500, body: "hello", want: one},
		"PATCH 500 stays":                        {method: "PATCH", status: 500, body: "hello", want: one},
		"DELETE 500 stays":                       {method: "DELETE", status: 500, want: one},
		"DELETE 403 moves on":                    {method: "DELETE", status: 403, want: both},
		"rotate_on without 403":                  {rotateOn: []string{"5xx"}, status: 403, want: one},
		"rotate_on with 404":                     {rotateOn: []string{"404"}, status: 404, want: both},
		"rotate_on 4xx has no 401":               {rotateOn: []string{"4xx"}, status: 401, want: one},
		"rotate_on empty still knows 496":        {rotateOn: []string{}, status: 496, want: both},
		"rotate_on empty":                        {rotateOn: []string{}, status: 500, want: one},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{
				auth: tls.RequestClientCert,
				handle: func(w http.ResponseWriter, _ *http.Request, client string) {
					if client == "b" {
						return
					}
					if row.contentType != "" {
						w.Header().Set("Content-Type", row.contentType)
					}
					w.WriteHeader(row.status)
					_, _ = w.Write([]byte(row.page))
				},
			})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b")
			tr := dir.transport(t)
			var err error
			if tr.RotateOn, err = ParseRotateOn(row.rotateOn); err != nil {
				t.Fatal(err)
			}
			method, path := row.method, row.path
			if method == "" {
				method = "GET"
			}
			if path == "" {
				path = "/v2/app/manifests/latest"
			}
			if _, err := send(t, view(t, tr, s.host, nil), newRequest(t.Context(), t, method, s.URL+path, row.body)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range s.takeAll() {
				got = append(got, r.Client)
				if r.Body != row.body {
					t.Errorf("%s sent the body %q, want %q", r.Client, r.Body, row.body)
				}
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
		})
	}
}

// What is wrong with the network or the server is not the certificate's fault.
func TestNoRotationForOtherErrors(t *testing.T) {
	t.Parallel()
	unverified := newTLSServer(t, serverOptions{tls: func(c *tls.Config) {
		c.Certificates = []tls.Certificate{certtest.NewCA("nobody").Server("127.0.0.1").TLS}
	}})
	elsewhere := newTLSServer(t, serverOptions{tls: func(c *tls.Config) {
		c.Certificates = []tls.Certificate{serverCA.Server("other.example").TLS}
	}})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	for name, row := range map[string]struct {
		host, want string
	}{
		"nobody listens":              {closed, "connection refused"},
		"no such name":                {"no-such-name.invalid", "no such host"},
		"server of another authority": {unverified.host, "put that CA's certificate into DIR as NAME.crt"},
		"server of another name":      {elsewhere.host, "its certificate is for other.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := newCertsDir(t)
			path := dir.add(t, row.host, "a", "b")
			tr := dir.transport(t)
			attempts := 0
			tr.Hooks.OnAttempt = func(Attempt) { attempts++ }
			_, err := send(t, view(t, tr, row.host, nil), newRequest(t.Context(), t, "GET", "https://"+row.host+"/v2/", ""))
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(row.want, "DIR", path)) {
				t.Errorf("error %v, want %q", err, row.want)
			}
			if attempts != 1 {
				t.Errorf("%d attempts, want 1", attempts)
			}
		})
	}
}

func TestCancelledRequestDoesNotRotate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b", "c")
	tr := dir.transport(t)
	tr.Hooks.OnRotate = func(Rotation) { cancel() }
	_, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, "GET", s.URL+"/v2/", ""))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := s.clients(); count(got, "c") > 0 {
		t.Errorf("clients %v", got)
	}
}

// Without a pair, and over plain HTTP, there is nothing to rotate.
func TestNothingToRotate(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
	dir := newCertsDir(t)
	dir.add(t, s.host)
	if status := get(t, view(t, dir.transport(t), s.host, nil), s.URL+"/v2/"); status != 403 {
		t.Errorf("status %d", status)
	}
	if diff := cmp.Diff([]string{""}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

// A 401 after a refusal decides: the token it asks for belongs to that
// certificate.
func TestAnswerAfterARefusalDecides(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
		status := map[string]int{"a": 403, "b": 401, "c": 200}[client]
		if asked.Add(1) == 1 {
			// At first a is not refused either.
			status = 401
		}
		w.WriteHeader(status)
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a", "b", "c")
	rt := view(t, dir.transport(t), s.host, nil)
	for range 3 {
		get(t, rt, s.URL+"/v2/app/manifests/1")
	}
	if diff := cmp.Diff([]string{"a", "a", "b", "b"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}

func TestPlainHTTPHasNoIdentities(t *testing.T) {
	t.Parallel()
	asked := 0
	host := plainServer(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(403)
	})
	rt := newCertsDir(t).transport(t).ForEndpoint(host, &Endpoint{
		Scheme: "http", Host: host,
		Identities: []*Identity{{Name: "a", Certificate: &pairOf("a").TLS}, {Name: "b", Certificate: &pairOf("b").TLS}},
	}, nil)
	get(t, rt, "http://"+host+"/v2/")
	if asked != 1 {
		t.Errorf("%d requests", asked)
	}
}

// TestAnswerOfARefusedRound: the last one counts, but for a 404 of Registry v1
// beside a 403. What the entitled identity was told is the truth.
func TestAnswerOfARefusedRound(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		path    string
		answers map[string]int
		want    int
	}{
		"the entitled one comes first":     {"/v1/repositories/app/tags/1", map[string]int{"a": 404, "b": 403, "c": 403}, 404},
		"the entitled one is in between":   {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 404, "c": 403}, 404},
		"the entitled one is the last":     {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 403, "c": 404}, 404},
		"nobody is entitled":               {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 403, "c": 403}, 403},
		"the last one meets a sick server": {"/v1/repositories/app/tags/1", map[string]int{"a": 403, "b": 404, "c": 502}, 502},
		"v2, where 404 does not move on":   {"/v2/app/manifests/1", map[string]int{"a": 403, "b": 404, "c": 403}, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
				w.WriteHeader(row.answers[client])
				_, _ = w.Write([]byte("for " + client))
			}})
			dir := newCertsDir(t)
			dir.add(t, s.host, "a", "b", "c")
			if status := get(t, view(t, dir.transport(t), s.host, nil), s.URL+row.path); status != row.want {
				t.Errorf("status %d, want %d", status, row.want)
			}
		})
	}
}
