package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus" //nolint:depguard // to read what would be logged

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/resolver"
)

// journal is a log for tests: LEVEL MESSAGE KEY=VALUE..., the keys sorted.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func newJournal() (*journal, *log.Entry) {
	j := &journal{}
	logger := logrus.New()
	logger.SetLevel(logrus.TraceLevel)
	logger.SetOutput(io.Discard)
	logger.SetFormatter(j)
	return j, logrus.NewEntry(logger)
}

// Format implements logrus.Formatter.
func (j *journal) Format(e *logrus.Entry) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	line := []string{e.Level.String(), strings.TrimPrefix(e.Message, "certsd: ")}
	for _, k := range slices.Sorted(maps.Keys(e.Data)) {
		line = append(line, fmt.Sprintf("%s=%v", k, e.Data[k]))
	}
	j.lines = append(j.lines, strings.Join(line, " "))
	return nil, nil
}

// take returns the lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// expect compares the lines since the last call.
func (j *journal) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, j.take()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// roundOf is a round for reg.test/app, of attempts IDENTITY STATUS.
func roundOf(learnt bool, attempts ...certsd.Attempt) certsd.Round {
	for i := range len(attempts) - 1 {
		attempts[i].Reason = resultOf(attempts[i])
	}
	return certsd.Round{Registry: "reg.test", Host: "reg.test", Repository: "app", Attempts: attempts, Learnt: learnt}
}

func got(identity string, status int) certsd.Attempt {
	return certsd.Attempt{Registry: "reg.test", Host: "reg.test", Dir: "/c/reg.test", Identity: identity, Status: status}
}

func TestADiscoveryIsOneLine(t *testing.T) {
	t.Parallel()
	j, logger := newJournal()
	h := Hooks(logger)
	round := func(r certsd.Round) { h.Transport.OnRound(t.Context(), r) }

	h.Transport.OnRotate(certsd.Rotation{Host: "reg.test", From: "alpha.cert", To: "bravo.cert", Reason: "403"})
	j.expect(t, "a step", "debug trying the next client certificate from=alpha.cert host=reg.test identity=bravo.cert reason=403")
	round(roundOf(true, got("alpha.cert", 403), got("bravo.cert", 200)))
	j.expect(t, "a discovery", "info another client certificate was accepted answers=alpha.cert: 403, bravo.cert: 200 attempts=2 host=reg.test identity=bravo.cert repository=app")
	round(roundOf(false, got("bravo.cert", 200)))
	j.expect(t, "what is known already")
	refused := "warning no client certificate was accepted answers=alpha.cert: 403, bravo.cert: 403 attempts=2 host=reg.test identity=bravo.cert repository=app"
	round(roundOf(false, got("alpha.cert", 403), got("bravo.cert", 403)))
	j.expect(t, "all are refused", refused)
	round(roundOf(false, got("alpha.cert", 403), got("bravo.cert", 403)))
	j.expect(t, "all are refused again")
	round(roundOf(false, got("alpha.cert", 503), got("bravo.cert", 503)))
	sick := strings.ReplaceAll(strings.Replace(refused, "no client certificate was accepted", "the server fails with every client certificate", 1), "403", "503")
	j.expect(t, "the server is sick", sick)
	round(roundOf(false, got("alpha.cert", 503), got("bravo.cert", 503)))
	j.expect(t, "the server is still sick")
	round(roundOf(false, got("alpha.cert", 503), got("bravo.cert", 403)))
	j.expect(t, "the server is sick, and refuses one", strings.Replace(refused, "403", "503", 1))
	round(roundOf(false, got("bravo.cert", 404), got("alpha.cert", 403)))
	j.expect(t, "one is answered 404", "debug not found with any client certificate answers=bravo.cert: 404, alpha.cert: 403 attempts=2 host=reg.test identity=alpha.cert repository=app")
	round(roundOf(false, got("alpha.cert", 503), got("bravo.cert", 403)))
	j.expect(t, "the same answers as before the 404")
	for _, status := range []int{200, 401} {
		round(roundOf(false, got("alpha.cert", 403), got("bravo.cert", status)))
		j.expect(t, "another request has learnt it")
	}
	round(roundOf(true, got("alpha.cert", 403), got("bravo.cert", 200)))
	j.take()
	round(roundOf(false, got("alpha.cert", 403), got("bravo.cert", 403)))
	j.expect(t, "all are refused after a success", refused)
	other := roundOf(false, got("alpha.cert", 403), got("bravo.cert", 403))
	other.Repository = "other"
	round(other)
	j.expect(t, "all are refused for another repository", strings.ReplaceAll(refused, "=app", "=other"))

	round(roundOf(false, got("alpha.cert", 409), got("bravo.cert", 409)))
	j.expect(t, "all are refused by a status of the settings", strings.ReplaceAll(refused, "403", "409"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	gone := roundOf(false, got("alpha.cert", 403), certsd.Attempt{Identity: "bravo.cert", Err: context.Canceled})
	h.Transport.OnRound(ctx, gone)
	j.expect(t, "a cancelled request says nothing")

	passed := got("alpha.cert", 0)
	passed.Skipped = "expired on 2020-01-01"
	round(roundOf(true, passed, got("bravo.cert", 200)))
	j.expect(t, "one that was passed over is no attempt")
	h.Transport.OnWarning(&certsd.PassedOverError{Host: "reg.test", Identity: "alpha.cert", File: "/c/reg.test/alpha.cert", Reason: "expired on 2020-01-01"})
	j.expect(t, "passed over", "warning a client certificate is passed over error=/c/reg.test/alpha.cert: passed over, because it expired on 2020-01-01 host=reg.test identity=alpha.cert")
}

// TestAnOutageIsOneLine holds that a request that gets nothing is in the log,
// also where there is one client certificate or none: most directories have one.
func TestAnOutageIsOneLine(t *testing.T) {
	t.Parallel()
	attempt := func(identity string, fill func(*certsd.Attempt)) certsd.Attempt {
		a := got(identity, 0)
		fill(&a)
		return a
	}
	failed := func(err error) func(*certsd.Attempt) { return func(a *certsd.Attempt) { a.Err = err } }
	alert := func(a *certsd.Attempt) { a.Err, a.Refused = errors.New("alert"), true }
	nginx := func(a *certsd.Attempt) { a.Status, a.Refused = 400, true }
	for name, row := range map[string]struct {
		attempt certsd.Attempt
		want    string // what is logged up to the first field, and the answers
	}{
		"403":                  {got("a.cert", 403), "no client certificate was accepted: a.cert: 403"},
		"an alert":             {attempt("a.cert", alert), "no client certificate was accepted: a.cert: refused"},
		"nginx's 400":          {attempt("a.cert", nginx), "no client certificate was accepted: a.cert: refused"},
		"nginx's 400 to none":  {attempt("", nginx), "the server wants a client certificate, and there is none to present: : refused"},
		"403 to none":          {got("", 403), "the server refuses access, and there is no client certificate to present: : 403"},
		"a wrong CA":           {attempt("a.cert", failed(&certsd.VerificationError{Err: errors.New("x")})), "the server's certificate cannot be verified: a.cert: verify"},
		"no connection":        {attempt("a.cert", failed(&net.OpError{Op: "dial", Err: errors.New("x")})), "the server cannot be reached: a.cert: dial"},
		"no name":              {attempt("", failed(&net.DNSError{})), "the server cannot be reached: : dial"},
		"no answer":            {attempt("a.cert", failed(io.ErrUnexpectedEOF)), "the server gives no answer: a.cert: error"},
		"502":                  {got("a.cert", 502), "the server fails with every client certificate: a.cert: 502"},
		"404 is no outage":     {got("a.cert", 404), ""},
		"401 is no outage":     {got("a.cert", 401), ""},
		"400 is no outage":     {got("a.cert", 400), ""},
		"429 is no outage":     {got("a.cert", 429), ""},
		"success is no outage": {got("a.cert", 200), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j, logger := newJournal()
			h := Hooks(logger)
			round := func(a certsd.Attempt) []string {
				h.Transport.OnRound(t.Context(), roundOf(false, a))
				return j.take()
			}
			lines := round(row.attempt)
			if row.want == "" {
				if len(lines) != 0 {
					t.Fatalf("logged %q", lines)
				}
				return
			}
			message, answers, _ := strings.Cut(row.want, ": ")
			if len(lines) != 1 || !strings.HasPrefix(lines[0], "warning "+message+" answers="+answers+" attempts=1 ") {
				t.Fatalf("logged %q, want one warning %q", lines, row.want)
			}
			if said := strings.Contains(lines[0], " error="); said != (row.attempt.Err != nil) {
				t.Errorf("its cause is %v, logged %q", row.attempt.Err, lines)
			}
			if again := round(row.attempt); len(again) != 0 {
				t.Errorf("logged a second time: %q", again)
			}
			if fine := round(got("a.cert", 200)); len(fine) != 0 {
				t.Errorf("a success logged %q", fine)
			}
			if diff := cmp.Diff(lines, round(row.attempt)); diff != "" {
				t.Errorf("the same outage after a success (-first +now):\n%s", diff)
			}
		})
	}
}

func TestADowngradeIsOneLineUntilItChanges(t *testing.T) {
	t.Parallel()
	j, logger := newJournal()
	h := Hooks(logger)
	round := func(d certsd.Downgrade) {
		r := roundOf(false, got("alpha.cert", 200))
		r.Downgrade = d
		h.Transport.OnRound(t.Context(), r)
	}
	fields := " dir=/c/reg.test host=reg.test identity=alpha.cert registry=reg.test"
	for _, tt := range []struct {
		downgrade certsd.Downgrade
		line      string
	}{
		{certsd.SkippedVerify, "warning the server is not verified, as its hosts.toml says"},
		{certsd.UnverifiedLocalhost, "info the server is not verified, because it is on this machine and has no directory"},
		{certsd.AppendedSystemRoots, "info the system's CA roots are trusted beside those of the directory"},
	} {
		round(tt.downgrade)
		round(tt.downgrade)
		j.expect(t, "twice", tt.line+fields)
		h.OnReload(hostdir.Reload{Host: "reg.test", Changed: true})
		j.take()
		round(tt.downgrade)
		j.expect(t, "after a reload that leaves it")
		round(0)
		j.expect(t, "when it ends")
		round(tt.downgrade)
		j.expect(t, "when it comes back", tt.line+fields)
		round(0)
	}

	plain := "warning plain HTTP is used" + fields
	round(certsd.SpokePlainHTTP)
	round(0) // the next pull's TLS, before its fallback
	round(certsd.SpokePlainHTTP)
	j.expect(t, "plain HTTP", plain)
	h.OnReload(hostdir.Reload{Host: "reg.test", Changed: true})
	j.take()
	round(certsd.SpokePlainHTTP)
	j.expect(t, "plain HTTP after a reload", plain)
}

func TestAConversionIsOneLine(t *testing.T) {
	t.Parallel()
	j, logger := newJournal()
	h := Hooks(logger)
	v1 := "warning Registry v1 is used, which has no digests to verify an image by host=reg.test identity=alpha.cert"
	c := resolver.Conversion{Registry: "reg.test", Ref: "reg.test/app:1", Protocol: resolver.ProtocolV1, Identity: "alpha.cert", Took: time.Second}
	c.Descriptor = ocispec.Descriptor{Digest: "sha256:12"}
	line := "info an image was converted digest=sha256:12 host=reg.test identity=alpha.cert protocol=Registry v1 ref=reg.test/app:1 took=1s"
	h.OnConvert(t.Context(), c)
	h.OnConvert(t.Context(), c)
	j.expect(t, "Registry v1", v1, line, line)
	h.OnReload(hostdir.Reload{Host: "reg.test", Changed: true})
	j.take()
	h.OnConvert(t.Context(), c)
	j.expect(t, "after a reload", v1, line)
	c.Protocol = resolver.ProtocolSchema1
	h.OnConvert(t.Context(), c)
	j.expect(t, "schema 1", strings.ReplaceAll(line, "Registry v1", "schema 1"))
	c.Err = errors.New("layer cut")
	h.OnConvert(t.Context(), c)
	j.expect(t, "failed", "warning an image could not be converted error=layer cut host=reg.test identity=alpha.cert protocol=schema 1 ref=reg.test/app:1 took=1s")
}

func TestAReloadIsOneLine(t *testing.T) {
	t.Parallel()
	j, logger := newJournal()
	h := Hooks(logger)
	now := &certsd.Host{Name: "reg.test", Endpoints: []*certsd.Endpoint{{Identities: []*certsd.Identity{{Name: "alpha.cert"}, {Name: "bravo.cert"}}}}}
	r := hostdir.Reload{Host: "reg.test", Dir: "/c/reg.test", Changed: true, Config: now}
	fields := " dir=/c/reg.test"
	identities := " host=reg.test identity=alpha.cert,bravo.cert"
	h.OnReload(r)
	j.expect(t, "changed", "info read a changed host directory"+fields+identities)
	r.Err = errors.New("half written")
	h.OnReload(r)
	j.expect(t, "kept", "warning a changed host directory cannot be used, what was read last stays in use"+fields+" error=half written"+identities)
	r.Config = nil
	h.OnReload(r)
	j.expect(t, "lost", "error a host directory can no longer be used"+fields+" error=half written host=reg.test identity=")
	problem := &certsd.Problem{File: "/c/reg.test/bravo.cert", Err: errors.New("no matching bravo.key")}
	h.OnReload(hostdir.Reload{Host: "reg.test", Dir: "/c/reg.test", Config: now, Warnings: []error{problem}})
	j.expect(t, "only a problem is new", "warning problem in a host directory"+fields+" error=/c/reg.test/bravo.cert: no matching bravo.key"+identities)
	h.OnWarning("reg.test", problem)
	j.expect(t, "a problem at first", "warning problem in a host directory error=/c/reg.test/bravo.cert: no matching bravo.key host=reg.test")
	h.OnWarning("reg.test", errors.New("odd"))
	j.expect(t, "anything else", "warning unexpected condition error=odd host=reg.test")
}

func TestWhatWasSaidIsBounded(t *testing.T) {
	t.Parallel()
	var c changes
	var d downgrades
	for i := range 3 * maxRemembered {
		c.is(strconv.Itoa(i), "")
		d.note(downgraded{host: strconv.Itoa(i)}, 1)
	}
	if len(c.said) > maxRemembered || len(d.known) > maxRemembered {
		t.Errorf("%d and %d are remembered", len(c.said), len(d.known))
	}
}
