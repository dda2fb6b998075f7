package check

import (
	"context"
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
	// longest is what the silent one of two has at most, however it is asked.
	var longest time.Duration
	const limit = 3 * time.Second
	c := &Checker{Roots: []string{root}, limit: limit, Waiting: func(what string) {
		mu.Lock()
		defer mu.Unlock()
		waited = append(waited, what)
	}, asks: func(ctx context.Context, what string) {
		mu.Lock()
		defer mu.Unlock()
		if bound, _ := ctx.Deadline(); strings.Contains(what, silent) {
			longest = max(longest, time.Until(bound))
		}
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
	longest = 0
	r, err = c.Registry(t.Context(), "two.test")
	if err != nil {
		t.Fatal(err)
	}
	if longest == 0 || longest > limit/3 {
		t.Errorf("a server that never answers has %v of %v that two share", longest, limit*2/3)
	}
	if r.Verdict != Works {
		t.Errorf("the second server answers, and the verdict is %s: %s\n%+v", r.Verdict, r.Reason, r.Findings)
	}
}

// TestAllThatIsAskedHasOneBound holds that no request is made without the bound of
// all that is asked about a registry: of a pull, a push and the ways of a
// machine neither.
func TestAllThatIsAskedHasOneBound(t *testing.T) {
	t.Parallel()
	reg := server{auth: tls.RequestClientCert}.start(t)
	dir := t.TempDir()
	root := filepath.Join(dir, "certs.d")
	write(t, root, of(reg, files{"ca": serverCA, "alpha": alpha}))
	write(t, dir, files{"config.toml": "version = 3\n[plugins.'io.containerd.transfer.v1.local']\nconfig_path = '" + root + "'\n"})
	var mu sync.Mutex
	bounds := map[string]time.Time{}
	c := &Checker{Roots: []string{root}, Push: true, Config: filepath.Join(dir, "config.toml"), ImageService: "/none", asks: func(ctx context.Context, what string) {
		mu.Lock()
		defer mu.Unlock()
		bounds[strings.ReplaceAll(what, reg, "REG")], _ = ctx.Deadline()
	}}
	begun := time.Now()
	if _, err := c.Registry(t.Context(), reg+"/app"); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	for _, what := range []string{
		"a connection to REG", "the answer of REG to no certificate", "the answer of REG to alpha.cert", "the answer of REG to what a pull asks first",
		"what a pull of REG/app:latest asks for", "what a push to REG/app asks first", "the answer of REG to stock containerd",
	} {
		bound, found := bounds[what]
		// Answers that came are waited for as long again.
		latest := ended.Add(time.Minute + waits*ended.Sub(begun))
		if !found || bound.IsZero() || bound.After(latest) {
			t.Errorf("%s: asked %t, until %v, which is later than %v", what, found, bound, latest)
		}
	}
}

// TestSlowAnswersAreNotCut holds that a registry which takes its time with each of
// many certificates is waited for, and not without end.
func TestSlowAnswersAreNotCut(t *testing.T) {
	t.Parallel()
	const each = 8 * time.Second
	reg := server{auth: tls.RequestClientCert}.start(t)
	root, in := t.TempDir(), files{"ca": serverCA}
	for i := range 8 {
		in["pair"+string(rune('0'+i))] = alpha
	}
	write(t, root, of(reg, in))
	var mu sync.Mutex
	bounds := map[string]time.Time{}
	c := &Checker{Roots: []string{root}, since: func(time.Time) time.Duration { return each }, asks: func(ctx context.Context, what string) {
		mu.Lock()
		defer mu.Unlock()
		bounds[strings.ReplaceAll(what, reg, "REG")], _ = ctx.Deadline()
	}}
	if _, err := c.Registry(t.Context(), reg+"/app"); err != nil {
		t.Fatal(err)
	}
	// What was asked before took this long, and is to be asked again.
	first := bounds["the answer of REG to no certificate"]
	for what, need := range map[string]time.Duration{
		"the answer of REG to pair7.cert":             8 * each,
		"the answer of REG to what a pull asks first": 2 * 9 * each,
		"what a pull of REG/app:latest asks for":      3 * 9 * each,
	} {
		if more := bounds[what].Sub(first); more < need || more > 4*time.Minute+time.Minute {
			t.Errorf("%s: %v more, and %v is needed", what, more, need)
		}
	}
}
