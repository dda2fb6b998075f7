package certsd

import (
	"crypto/tls"
	"errors"
	"net/http"
	"testing"
)

// TestARefusedCertificateIsToldApart holds that an attempt says that the one
// client certificate there is was refused, in each way that servers do that
// without a 403.
func TestARefusedCertificateIsToldApart(t *testing.T) {
	t.Parallel()
	answer := func(status int, page string) func(http.ResponseWriter, *http.Request, string) {
		return func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(page))
		}
	}
	for name, row := range map[string]struct {
		method  string
		without bool // the directory has no pair
		server  serverOptions
		want    bool
	}{
		"an alert": {want: true, server: serverOptions{
			auth: tls.RequireAnyClientCert, refuse: func(string) error { return errors.New("unknown") },
		}},
		"nginx's 400":               {want: true, server: serverOptions{auth: tls.RequestClientCert, handle: answer(400, "<title>400 The SSL certificate error</title>")}},
		"nginx's 400 on HEAD":       {method: "HEAD", want: true, server: serverOptions{auth: tls.RequestClientCert, handle: answer(400, "")}},
		"nginx's 400 to none":       {without: true, want: true, server: serverOptions{auth: tls.RequestClientCert, handle: answer(400, "No required SSL certificate was sent")}},
		"495":                       {want: true, server: serverOptions{auth: tls.RequestClientCert, handle: answer(495, "")}},
		"496":                       {want: true, server: serverOptions{auth: tls.RequestClientCert, handle: answer(496, "")}},
		"403, which is a status":    {server: serverOptions{auth: tls.RequestClientCert, handle: answer(403, "")}},
		"another 400":               {server: serverOptions{auth: tls.RequestClientCert, handle: answer(400, "bad request")}},
		"a 400 where none is asked": {without: true, server: serverOptions{handle: answer(400, "")}, method: "HEAD"},
		"a 502":                     {server: serverOptions{auth: tls.RequestClientCert, handle: answer(502, "")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, row.server)
			dir := newCertsDir(t)
			if row.without {
				dir.add(t, s.host)
			} else {
				dir.add(t, s.host, "a")
			}
			tr := dir.transport(t)
			var attempts []Attempt
			tr.Hooks.OnAttempt = func(a Attempt) { attempts = append(attempts, a) }
			method := row.method
			if method == "" {
				method = http.MethodGet
			}
			_, _ = send(t, view(t, tr, s.host, nil), newRequest(t.Context(), t, method, s.URL+"/v2/app/manifests/1", ""))
			if len(attempts) != 1 || attempts[0].Refused != row.want {
				t.Errorf("got %+v, want one attempt with Refused %t", attempts, row.want)
			}
		})
	}
}
