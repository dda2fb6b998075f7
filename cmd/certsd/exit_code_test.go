package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"

	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/resolver"
)

// TestExitCodesOfTransfers: 3 where the same command cannot succeed, 1 where it
// may, 130 after an interruption.
func TestExitCodesOfTransfers(t *testing.T) {
	t.Parallel()
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+json")
		_, _ = w.Write([]byte(`{"schemaVersion":1,"fsLayers":[{"blobSum":"x"}],"history":[{}]}`))
	}
	busy := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600") // longer than anybody waits
		w.WriteHeader(http.StatusTooManyRequests)
	}
	for name, row := range map[string]struct {
		registry http.HandlerFunc
		want     int
	}{
		"not there":       {answer(404), exitFinal},
		"forbidden":       {answer(403), exitFinal},
		"unauthorized":    {answer(401), exitFinal},
		"out of order":    {answer(503), exitFailed},
		"bad gateway":     {answer(502), exitFailed},
		"too many":        {busy, exitFailed},
		"an unusable one": {broken, exitFinal},
		"cut":             {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, root := plainRegistry(t, row.registry)
			target, _ := plainRegistry(t, answer(404))
			for _, args := range [][]string{
				{"pull", "--root", root, "-o", filepath.Join(t.TempDir(), "o"), host + "/app:1"},
				{"copy", "--root", root, "--cache", t.TempDir(), host + "/app:1", "localhost:" + portOf(target) + "/app:1"},
				{"copy", "--root", root, "--cache", t.TempDir(), "--all-tags", host + "/app", "localhost:" + portOf(target) + "/app"},
			} {
				if args[0] == "copy" && args[5] == "--all-tags" && name == "an unusable one" {
					continue // it is no list of tags either
				}
				var out, errs bytes.Buffer
				if code := run(t.Context(), append([]string{"certsd"}, args...), &out, &errs); code != row.want {
					t.Errorf("%s: exit code %d, want %d:\n%s", args[0], code, row.want, &errs)
				}
			}
		})
	}
}

func portOf(host string) string { return host[strings.LastIndexByte(host, ':')+1:] }

// plainRegistry speaks plain HTTP, as its directory says.
func plainRegistry(t *testing.T, h http.Handler) (host, root string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	host, root = strings.TrimPrefix(server.URL, "http://"), t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, host), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, host, "hosts.toml"), []byte("server = "+strconv.Quote(server.URL)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return host, root
}

func TestExitCodeOfAnInterruption(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	host, root := plainRegistry(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	}))
	for _, args := range [][]string{
		{"pull", "--root", root, "-o", filepath.Join(t.TempDir(), "o"), host + "/app:1"},
		{"copy", "--root", root, "--cache", t.TempDir(), host + "/app:1", "localhost:1/app:1"},
		{"copy", "--root", root, "--cache", t.TempDir(), "--all-tags", host + "/app", "localhost:1/app"},
	} {
		var out, errs bytes.Buffer
		if code := run(ctx, append([]string{"certsd"}, args...), &out, &errs); code != exitInterrupted {
			t.Errorf("%s: exit code %d:\n%s", args[0], code, &errs)
		}
	}
}

// A directory that cannot be used is no reason to try again.
func TestCopyFromADirectoryThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	host, root := plainRegistry(t, http.NotFoundHandler())
	target, _ := plainRegistry(t, http.NotFoundHandler())
	if err := os.WriteFile(filepath.Join(root, host, "hosts.toml"), []byte("sever = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"certsd", "copy", "--root", root, "--cache", t.TempDir(), host + "/app:1", "localhost:" + portOf(target) + "/app:1"}, &out, &errs)
	if want := "certsd: 1 of 1 tag failed, and the same command will not do better:\n"; code != exitUsage || !strings.HasPrefix(errs.String(), want) {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

// What is ended by a signal is no failure, whichever command it is.
func TestExitCodeOfAnInterruptedDemo(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"certsd", "demo"}, &out, &errs); code != exitInterrupted {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

// TestReferrersThatAreRefusedAreAskedForAgain holds that an image whose list of
// referrers is refused is not given up: it is there, and who may see the list
// may change.
func TestReferrersThatAreRefusedAreAskedForAgain(t *testing.T) {
	t.Parallel()
	refused := &resolver.Error{Ref: "r/app", Err: remoteserrors.ErrUnexpectedStatus{StatusCode: http.StatusForbidden}, Trail: &certsd.Trail{}}
	if !final(refused) {
		t.Error("a refusal is not final")
	}
	if final(&imagecopy.ReferrersError{Err: refused}) {
		t.Error("a refusal of the list of referrers is final")
	}
}

// TestFinal: which errors the same command cannot come around.
func TestFinal(t *testing.T) {
	t.Parallel()
	status := func(code int) error { return remoteserrors.ErrUnexpectedStatus{StatusCode: code} }
	after := func(err error, attempts ...certsd.Attempt) error {
		trail := &certsd.Trail{}
		for _, a := range attempts {
			trail.Record(a)
		}
		return &resolver.Error{Ref: "reg.test/app:1", Err: err, Trail: trail}
	}
	answer := func(status int) certsd.Attempt { return certsd.Attempt{Status: status} }
	cut := certsd.Attempt{Err: io.ErrUnexpectedEOF}
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"403":                                {status(403), true},
		"408":                                {status(408), false},
		"425":                                {status(425), false},
		"429":                                {status(429), false},
		"501":                                {status(501), true},
		"503":                                {status(503), false},
		"403 after 503":                      {after(status(403), answer(503), answer(403)), false},
		"403 after a cut":                    {after(status(403), cut, answer(403)), false},
		"403 after 403":                      {after(status(403), answer(403), answer(403)), true},
		"403 after a success after 503":      {after(status(403), answer(503), answer(200), answer(403)), true},
		"404 after an unverified server":     {after(errdefs.ErrNotFound, certsd.Attempt{Err: &tls.CertificateVerificationError{Err: io.EOF}}, answer(404)), true},
		"404 after one that was given up":    {after(errdefs.ErrNotFound, certsd.Attempt{Err: context.Canceled}, answer(404)), true},
		"404 after one that was passed over": {after(errdefs.ErrNotFound, certsd.Attempt{Skipped: "expired", Status: 503}, answer(404)), true},
		"the server's certificate":           {&tls.CertificateVerificationError{Err: io.EOF}, true},
		"the client's certificate":           {&net.OpError{Op: "remote error", Err: tls.AlertError(42)}, true},
		"no connection":                      {&net.OpError{Op: "dial", Err: io.EOF}, false},
		"another digest":                     {&pull.DigestError{}, true},
		"no such platform":                   {&pull.MissingPlatformError{}, true},
		"a challenge that nobody answers":    {docker.ErrInvalidAuthorization, true},
		"not found":                          {errdefs.ErrNotFound, true},
		"denied":                             {errdefs.ErrPermissionDenied, true},
		"unauthenticated":                    {errdefs.ErrUnauthenticated, true},
		"an argument":                        {errdefs.ErrInvalidArgument, true},
		"a condition":                        {errdefs.ErrFailedPrecondition, true},
		"not implemented":                    {errdefs.ErrNotImplemented, true},
		"unavailable":                        {errdefs.ErrUnavailable, false},
		"referrers":                          {&imagecopy.ReferrersError{Err: status(403)}, false},
		"anything else":                      {io.ErrUnexpectedEOF, false},
	} {
		if got := final(fmt.Errorf("x: %w", tt.err)); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
