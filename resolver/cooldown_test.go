package resolver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errSilent  = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
)

// scripted is an endpoint that gives the same answer until it is changed.
type scripted struct {
	err   error
	asked int
}

func (s *scripted) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked++
	if err := req.Context().Err(); err != nil {
		return nil, errors.Join(errRefused, err)
	}
	if s.err != nil {
		return nil, s.err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// mirrored are a mirror and the registry behind it, with their cool-down.
type mirrored struct {
	mirror, registry         scripted
	viaMirror, viaRegistry   http.RoundTripper
	mirrorRequest, elsewhere *http.Request
}

func newMirrored(ctx context.Context, period time.Duration) *mirrored {
	const mirror, registry = "https://mirror.test", "https://registry.test"
	m, dead := &mirrored{}, &cooldowns{period: period}
	m.viaMirror = dead.guard(&m.mirror, mirror, []string{registry})
	m.viaRegistry = dead.guard(&m.registry, registry, []string{mirror})
	m.mirrorRequest = httptest.NewRequestWithContext(ctx, http.MethodGet, mirror+"/v2/app/blobs/x", nil)
	m.elsewhere = httptest.NewRequestWithContext(ctx, http.MethodGet, "https://cdn.test/x", nil)
	return m
}

// ask makes a request and reports whether it reached the mirror.
func (m *mirrored) ask(req *http.Request) bool {
	before := m.mirror.asked
	_, _ = m.viaMirror.RoundTrip(req)
	return m.mirror.asked > before
}

func TestDeadEndpointIsPassedOverForAWhile(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"refuses connections":      errRefused,
		"has no address":           &net.DNSError{Err: "no such host", Name: "mirror.test"},
		"takes them, says no more": errSilent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := newMirrored(t.Context(), 0)
				m.mirror.err = err
				if !m.ask(m.mirrorRequest) {
					t.Fatal("not asked at first")
				}
				time.Sleep(defaultCooldown - time.Millisecond)
				if m.ask(m.mirrorRequest) {
					t.Error("asked within the cool-down")
				}
				_, got := m.viaMirror.RoundTrip(m.mirrorRequest)
				if got == nil || !errors.Is(got, err) || !strings.Contains(got.Error(), "is not asked again for 1ms") {
					t.Errorf("got %v", got)
				}
				time.Sleep(time.Millisecond)
				if !m.ask(m.mirrorRequest) {
					t.Error("not asked after the cool-down")
				}
			})
		})
	}
}

func TestEndpointThatAnswersIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t.Context(), 0)
		m.mirror.err = errReset
		m.ask(m.mirrorRequest)
		if !m.ask(m.mirrorRequest) {
			t.Error("a connection that was cut counts as an outage")
		}
		// A push may find the mirror alive before its time.
		m.mirror.err = errRefused
		m.ask(m.mirrorRequest)
		m.mirror.err = nil
		pushing := m.mirrorRequest.WithContext(withoutCooldown(t.Context()))
		if !m.ask(pushing) {
			t.Error("a push has no other endpoint, and is not made")
		}
		if !m.ask(m.mirrorRequest) {
			t.Error("not asked though it had answered")
		}
	})
}

func TestRequestThatWasGivenUpTellsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t.Context(), 0)
		canceled, cancel := context.WithCancel(withoutCooldown(t.Context()))
		cancel()
		m.ask(m.mirrorRequest.WithContext(canceled))
		if !m.ask(m.mirrorRequest) {
			t.Error("a canceled request made the endpoint dead")
		}
		m.mirror.err = errRefused
		m.ask(m.mirrorRequest)
		m.ask(m.mirrorRequest.WithContext(canceled))
		if m.ask(m.mirrorRequest) {
			t.Error("a canceled request made the endpoint live")
		}
	})
}

// lateError is a cause of a caller that has waited for the endpoint.
type lateError struct{ error }

func (lateError) Timeout() bool   { return true }
func (lateError) Temporary() bool { return true }

func TestRequestThatWasWaitedForTellsSomething(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t.Context(), 0)
		late, cancel := context.WithCancelCause(withoutCooldown(t.Context()))
		m.mirror.err = lateError{errRefused}
		cancel(m.mirror.err)
		m.ask(m.mirrorRequest.WithContext(late))
		if m.ask(m.mirrorRequest) {
			t.Error("an endpoint that did not answer in time is asked again")
		}
	})
}

func TestLastEndpointIsAlwaysAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t.Context(), 0)
		m.mirror.err, m.registry.err = errRefused, errRefused
		registry := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://registry.test/v2/", nil)
		m.ask(m.mirrorRequest)
		_, _ = m.viaRegistry.RoundTrip(registry)
		if _, err := m.viaRegistry.RoundTrip(registry); m.registry.asked != 2 {
			t.Errorf("the registry was not asked though the mirror is dead, too: %v", err)
		}
		if !m.ask(m.mirrorRequest) {
			t.Error("the mirror was not asked though the registry is dead, too")
		}
	})
}

func TestOutageConcernsTheEndpointAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t.Context(), 0)
		m.mirror.err = errRefused
		m.ask(m.elsewhere)
		if !m.ask(m.mirrorRequest) {
			t.Error("an unreachable redirect target made the mirror dead")
		}
		if !m.ask(m.elsewhere) {
			t.Error("a dead mirror's other hosts are not asked")
		}
	})
}

// TestOutageConcernsItsSchemeAlone: TLS and plain HTTP of one name are two
// endpoints, and each may be a mirror.
func TestOutageConcernsItsSchemeAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMirrored(t.Context(), 0)
		m.mirror.err = errRefused
		if !m.ask(m.mirrorRequest) || m.ask(m.mirrorRequest) {
			t.Error("the mirror is not passed over")
		}
		if !m.ask(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://mirror.test/v2/", nil)) {
			t.Error("the mirror's name in plain HTTP is passed over, too")
		}
		guarded, _ := m.viaMirror.(*guarded)
		var plain scripted
		for _, others := range [][]string{{"https://mirror.test", "https://registry.test"}, {"https://registry.test"}} {
			before := plain.asked
			resp, err := guarded.dead.guard(&plain, "http://mirror.test", others).RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://mirror.test/v2/", nil))
			if err != nil || plain.asked != before+1 {
				t.Fatalf("not asked in plain HTTP: %v", err)
			}
			_ = resp.Body.Close()
		}
		if m.ask(m.mirrorRequest) {
			t.Error("the mirror is asked again because of another server")
		}
	})
}

func TestCooldownCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	m := newMirrored(t.Context(), -1)
	m.mirror.err = errRefused
	m.ask(m.mirrorRequest)
	if !m.ask(m.mirrorRequest) {
		t.Error("passed over")
	}
}

func TestOutagesRememberedAreBounded(t *testing.T) {
	t.Parallel()
	c := &cooldowns{}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://x.test/", nil)
	for i := range 3 * maxDead {
		c.note(strings.Repeat("x", i), req, errRefused)
	}
	if n := len(c.seen); n > maxDead {
		t.Errorf("%d outages are remembered", n)
	}
}

func TestSubstitutesCanDoTheSame(t *testing.T) {
	t.Parallel()
	all := &certsd.Endpoint{Scheme: "https", Host: "all.test", Capabilities: hoststoml.AllCapabilities}
	pull := &certsd.Endpoint{Scheme: "https", Host: "pull.test", Capabilities: hoststoml.Pull}
	host := &certsd.Host{Endpoints: []*certsd.Endpoint{pull, all}}
	if got := substitutes(host, all); len(got) != 0 {
		t.Errorf("%v resolve no tags, and take the place of one that does", got)
	}
	if got := substitutes(host, pull); len(got) != 1 || got[0] != "https://all.test" {
		t.Errorf("got %v", got)
	}
}
