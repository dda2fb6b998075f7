package certsd

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// Where one certificate is told that something is not there, the registry is not
// said to refuse what it was offered because of what it tells the next one.
func TestNotThereIsNoRefusal(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		bravo int
		told  bool
	}{"not there": {http.StatusNotFound, false}, "refused, too": {http.StatusForbidden, true}} {
		s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
			status := http.StatusForbidden
			if client == "bravo" {
				status = row.bravo
			}
			w.WriteHeader(status)
		}})
		dir := newCertsDir(t)
		dir.add(t, s.host, "alpha", "bravo", "charlie")
		ctx, trail := WithTrail(t.Context())
		if _, err := send(t, view(t, dir.transport(t), s.host, nil), newRequest(ctx, t, http.MethodGet, s.URL+"/v1/_ping", "")); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(trail.String(), "refused the client certificates"); told != row.told {
			t.Errorf("%s:\n%s", name, trail)
		}
	}
}
