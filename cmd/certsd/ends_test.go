package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/resolver"
)

func TestTransfersWarnOfWhatEnds(t *testing.T) {
	t.Parallel()
	var said []string
	var hooks resolver.Hooks
	warnOfEnds(&hooks, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	ca := certtest.NewCA("CA")
	in := func(left time.Duration) *certtest.Pair {
		return ca.Issue(certtest.Request{CommonName: "x", NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().Add(left)})
	}
	const day = 24 * time.Hour
	soon, later, over := in(3*day+time.Hour), in(90*day), in(-day)
	host := &certsd.Host{Endpoints: []*certsd.Endpoint{{Identities: []*certsd.Identity{
		{CertFile: "/a/soon.cert", Certificate: &soon.TLS}, {CertFile: "/a/later.cert", Certificate: &later.TLS}, {CertFile: "/a/over.cert", Certificate: &over.TLS},
	}}}}
	for range 2 {
		hooks.OnUse(host)
		hooks.Transport.OnHandshake(certsd.Handshake{Host: "reg.test", Server: soon.Cert, CA: soon.Cert, CAFile: "/a/ca.crt"})
		hooks.Transport.OnHandshake(certsd.Handshake{Host: "other.test", Server: later.Cert})
	}
	on := ", on " + soon.Cert.NotAfter.UTC().Format(time.DateOnly)
	want := []string{
		"warning: /a/soon.cert expires in 3 days" + on, "warning: the certificate of the server reg.test expires in 3 days" + on,
		"warning: /a/ca.crt expires in 3 days" + on,
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPullAndCopyWarnOfWhatEnds on standard error, once for each certificate.
func TestPullAndCopyWarnOfWhatEnds(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Chdir(t.TempDir())
	d := newDemo(t)
	ending := certtest.NewCA("others").Issue(certtest.Request{CommonName: "zulu", NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().Add(3*24*time.Hour + time.Hour)})
	dir := filepath.Join(d.root, d.host)
	if err := ending.Write(dir, "zulu"); err != nil {
		t.Fatal(err)
	}
	want := "warning: " + filepath.Join(dir, "zulu.cert") + " expires in 3 days, on " + ending.Cert.NotAfter.UTC().Format(time.DateOnly) + "\n"
	for _, args := range [][]string{{"pull", "--root", d.root, d.ref}, {"copy", "--root", d.root, "--dry-run", d.ref, d.host + "/demo/copied:1"}} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"certsd"}, args...), &out, &errs)
		if n := strings.Count(errs.String(), want); code != exitDone || n != 1 || strings.Contains(out.String(), "warning") {
			t.Errorf("%v: exit code %d, and %d times %s in:\n%s", args, code, n, want, &errs)
		}
	}
}
