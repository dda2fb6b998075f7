package check

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestWhatNeverAnswersIsLeft holds that all that is asked about a registry has one
// bound, not each request, that a server which never answers leaves time for
// the next, and that it is told what is waited for.
func TestWhatNeverAnswersIsLeft(t *testing.T) {
	t.Parallel()
	silent := server{auth: tls.RequestClientCert, handle: func(_ http.ResponseWriter, r *http.Request, _ string) { <-r.Context().Done() }}.start(t)
	good := server{auth: tls.RequestClientCert}.start(t)
	root := t.TempDir()
	write(t, root, of(silent, files{"ca": serverCA, "alpha": alpha, "bravo": bravo}))
	write(t, root, of(good, files{"ca": serverCA}))
	write(t, filepath.Join(root, "two.test"), files{
		"hosts.toml": "server = 'https://" + good + "'\n[host.'https://" + silent + "']\n",
	})
	var mu sync.Mutex
	var waited []string
	c := &Checker{Roots: []string{root}, limit: 3 * time.Second, Waiting: func(what string) {
		mu.Lock()
		defer mu.Unlock()
		waited = append(waited, what)
	}}
	// Each request alone would have twenty seconds: the bound ends the first.
	r, err := c.Registry(t.Context(), silent+"/app")
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != Refused {
		t.Errorf("the verdict is %s: %s", r.Verdict, r.Reason)
	}
	if want := "a connection to " + silent; !slices.Contains(waited, want) {
		t.Errorf("it waits for %q, and not for %q", waited, want)
	}
	if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return strings.Contains(f.Message, "no answer in time") }) {
		t.Errorf("it finds %+v", r.Findings)
	}
	r, err = c.Registry(t.Context(), "two.test")
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != Works {
		t.Errorf("the second server answers, and the verdict is %s: %s\n%+v", r.Verdict, r.Reason, r.Findings)
	}
}
