package resolver

import (
	"errors"
	"testing"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// TestFaultFirst: what can be mended here is the beginning of an error, once.
func TestFaultFirst(t *testing.T) {
	t.Parallel()
	fault := func(file string) *certsd.Problem {
		return &certsd.Problem{Code: hostdir.KeyMismatch, File: file, Err: errors.New("the private key does not belong to the certificate")}
	}
	a := certsd.Attempt{Faults: []*certsd.Problem{fault("/d/a.cert")}}
	both := certsd.Attempt{Faults: []*certsd.Problem{fault("/d/a.cert"), fault("/d/b.cert")}}
	const told = "/d/a.cert: the private key does not belong to the certificate: copy the certificate and the key again, both from the same pair"
	for name, row := range map[string]struct {
		text     string
		attempts []certsd.Attempt
		want     string
	}{
		"nothing":          {"403", []certsd.Attempt{{}}, "403"},
		"one":              {"403", []certsd.Attempt{{}, a}, told + ": 403"},
		"the same twice":   {"403", []certsd.Attempt{a, a}, told + ": 403"},
		"two":              {"403", []certsd.Attempt{a, both}, told + " (and 1 more, below): 403"},
		"said in the text": {"x: " + told + ": alert", []certsd.Attempt{a}, "x: " + told + ": alert"},
	} {
		if got := faultFirst(row.text, row.attempts); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
