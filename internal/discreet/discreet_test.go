package discreet_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/containerd/log"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus" //nolint:depguard // to read what is logged

	"github.com/certsd/containerd-certsd/internal/discreet"
)

func newLog() (*bytes.Buffer, *logrus.Entry) {
	var out bytes.Buffer
	logger := logrus.New()
	logger.SetOutput(&out)
	logger.SetLevel(logrus.DebugLevel)
	logger.SetFormatter(&logrus.TextFormatter{DisableTimestamp: true, DisableColors: true})
	return &out, logrus.NewEntry(logger)
}

func TestLinesLoseTheirSecrets(t *testing.T) {
	t.Parallel()
	out, entry := newLog()
	ctx := discreet.Context(log.WithLogger(t.Context(), entry.WithField("pull", "1")))
	for _, tt := range []struct {
		name string
		log  func(*log.Entry)
		want string
	}{
		{"a line without any", func(l *log.Entry) { l.WithField("n", 1).Info("resolving") }, `level=info msg=resolving n=1 pull=1`},
		{"an error with a signed URL", func(l *log.Entry) {
			l.WithError(errors.New(`Head "https://me:pw@blobs.test/b?X-Signature=sesame&y=1": refused`)).Info("fetch failed")
		}, `level=info msg="fetch failed" error="Head \"https://blobs.test/b?…\": refused" pull=1`},
		{"a message with one", func(l *log.Entry) { l.Warn("got /b?sig=sesame from there") }, `level=warning msg="got /b?… from there" pull=1`},
		{"headers", func(l *log.Entry) {
			l.WithFields(log.Fields{
				"request.header.x-team": "sesame", "request.header.accept": "*/*", "request.header.accept.1": "a/b",
				"response.header.set-cookie": "sesame", "response.header.location": "https://b.test/u?_state=sesame",
			}).Debug("do request")
		}, `level=debug msg="do request" pull=1 request.header.accept="*/*" request.header.accept.1=a/b request.header.x-team="…" ` +
			`response.header.location="https://b.test/u?…" response.header.set-cookie="…"`},
		{"a level that is off", func(l *log.Entry) { l.Trace("nothing") }, ``},
	} {
		out.Reset()
		tt.log(log.G(ctx))
		if diff := cmp.Diff(tt.want, strings.TrimSuffix(out.String(), "\n")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestOnceIsEnough(t *testing.T) {
	t.Parallel()
	out, entry := newLog()
	ctx := discreet.Context(log.WithLogger(t.Context(), entry))
	again := discreet.Context(ctx)
	if again != ctx {
		t.Error("a discreet log is wrapped a second time")
	}
	log.G(again).Info("one line")
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
}

func TestLevelsAreFollowed(t *testing.T) {
	t.Parallel()
	out, entry := newLog()
	ctx := log.WithLogger(t.Context(), entry)
	for _, tt := range []struct {
		level logrus.Level
		lines int
	}{{logrus.DebugLevel, 1}, {logrus.ErrorLevel, 0}, {logrus.DebugLevel, 1}} {
		out.Reset()
		entry.Logger.SetLevel(tt.level)
		log.G(discreet.Context(ctx)).Debug("a line")
		if n := strings.Count(out.String(), "\n"); n != tt.lines {
			t.Errorf("%s: %d lines, want %d", tt.level, n, tt.lines)
		}
	}
}

// TestLogsAreKeptApart: each context's lines go to its own log.
func TestLogsAreKeptApart(t *testing.T) {
	t.Parallel()
	first, entry := newLog()
	second, other := newLog()
	a := discreet.Context(log.WithLogger(t.Context(), entry))
	b := discreet.Context(log.WithLogger(t.Context(), other.WithField("pull", "2")))
	log.G(a).Info("to the first")
	log.G(b).Info("to the second")
	if diff := cmp.Diff("level=info msg=\"to the first\"\n", first.String()); diff != "" {
		t.Errorf("first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("level=info msg=\"to the second\" pull=2\n", second.String()); diff != "" {
		t.Errorf("second (-want +got):\n%s", diff)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                  "",
		"is it there?":                      "is it there?",
		"mail@example.test":                 "mail@example.test",
		"https://a.test/?":                  "https://a.test/",
		"https://a.test/x?y=1#z and /p?q=2": "https://a.test/x?… and /p?…",
		"https://u:p@a.test/x":              "https://a.test/x",
		"app@sha256:12":                     "app@sha256:12",
		"https://a.test/app@sha256:12":      "https://a.test/app@sha256:12",
	} {
		if got := discreet.Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
