//go:build linux

package integration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// accessLog reads the access log of a server. Each line is
//
//	CN METHOD URI STATUS auth="…" team="…"
type accessLog struct {
	host string
	file string
	// forgotten is how many lines the script wants to see no more.
	forgotten int
	// marks counts the requests made to know that the log is complete.
	marks int
}

// markPath begins the path of requests that mark a place in the log.
const markPath = "/_mark-"

// mark asks the server for a path of its own and waits until that is logged.
// A server logs a request after it was answered; one worker does so in order,
// so whatever was answered before the mark is in front of it.
func (l *accessLog) mark() (lines []string, err error) {
	l.marks++
	path := markPath + strconv.Itoa(l.marks)
	if err := l.request(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(l.file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		lines = strings.SplitAfter(string(b), "\n")
		if at := slices.IndexFunc(lines, func(s string) bool {
			return strings.Contains(s, " "+path+" ") && strings.HasSuffix(s, "\n")
		}); at >= 0 {
			return lines[:at], nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s has not logged a request after %v", l.host, readyTime)
		case <-tick.C:
		}
	}
}

// request asks for a path on a connection of its own, without a certificate.
// Whatever the answer is, it is logged; it is not believed, so the server is
// not verified.
func (l *accessLog) request(path string) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+l.host+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// lines are what was logged and not forgotten, without marks.
func (l *accessLog) lines() ([]string, error) {
	lines, err := l.mark()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, line := range lines[min(l.forgotten, len(lines)):] {
		if line != "" && !strings.Contains(line, " "+markPath) {
			out = append(out, line)
		}
	}
	return out, nil
}

// log is the access log of a host.
func (r *rig) log(ts *testscript.TestScript, host string) *accessLog {
	l := r.logs[host]
	if l == nil {
		ts.Fatalf("%s has no server", host)
	}
	return l
}

// forgetCmd leaves out what a server was asked until now: forget NAME
func (r *rig) forgetCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "forget NAME")
	if len(args) != 1 {
		ts.Fatalf("usage: forget NAME")
	}
	l := r.log(ts, args[0])
	lines, err := l.mark()
	ts.Check(err)
	l.forgotten = len(lines)
}

// logCmd prints what a server was asked: log NAME
func (r *rig) logCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "log NAME")
	if len(args) != 1 {
		ts.Fatalf("usage: log NAME")
	}
	lines, err := r.log(ts, args[0]).lines()
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), strings.Join(lines, ""))
	ts.Check(err)
}

// presentedCmd fails unless a server saw the certificates of exactly these, in
// this order, each run of the same one counted once: presented NAME CN...
func (r *rig) presentedCmd(ts *testscript.TestScript, neg bool, args []string) {
	noNeg(ts, neg, "presented NAME [CN...]")
	if len(args) == 0 {
		ts.Fatalf("usage: presented NAME [CN...]")
	}
	lines, err := r.log(ts, args[0]).lines()
	ts.Check(err)
	var got []string
	for _, line := range lines {
		cn, _, _ := strings.Cut(line, " ")
		got = append(got, cn)
	}
	got = slices.Compact(got)
	if !slices.Equal(got, args[1:]) {
		ts.Fatalf("%s was shown the certificates of %q, want %q:\n%s",
			args[0], got, args[1:], strings.Join(lines, ""))
	}
}
