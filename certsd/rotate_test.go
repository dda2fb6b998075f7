package certsd

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	if id := rt.Preferred("team/app"); nameOf(id) != "h.cert" {
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
