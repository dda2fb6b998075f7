package v1test

import (
	"fmt"
	"net/http"
	"slices"
)

// Certificates returns an Options.Wrap that answers 403 to a request without a
// client certificate of one of the common names, or without any certificate if
// none is given, like the CGI of the certs.d example. Options.TLS has to ask
// for a certificate (tls.RequestClientCert, Apache's optional_no_ca).
func Certificates(names ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 ||
				len(names) > 0 && !slices.Contains(names, r.TLS.PeerCertificates[0].Subject.CommonName) {
				w.Header().Set("X-Docker-Registry-Version", "0.6.2")
				w.Header().Set("Content-Type", "text/plain")
				w.WriteHeader(http.StatusForbidden)
				_, _ = fmt.Fprintln(w, "Client certificate invalid")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}
