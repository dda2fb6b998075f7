package telemetry

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/status"
)

// TestWhatEndsSoonIsSaidOnceADay of a client, a server and its CA, and not any more
// once there is another.
func TestWhatEndsSoonIsSaidOnceADay(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "reg.test")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(20 * 24 * time.Hour)
	year := func(name string, notAfter time.Time) *certtest.Pair {
		return clients.Issue(certtest.Request{CommonName: name, NotBefore: notAfter.AddDate(-1, 0, 0), NotAfter: notAfter})
	}
	if err := year("alpha", ends).Write(dir, "alpha"); err != nil {
		t.Fatal(err)
	}
	s := status.New()
	hosts := &certsd.Hosts{Roots: certsd.Roots{root}, Hooks: hostdir.Hooks{OnLoad: s.Load}}
	if _, err := hosts.Lookup("reg.test"); err != nil {
		t.Fatal(err)
	}
	s.Handshake(certsd.Handshake{Host: "reg.test", Server: year("server", ends.Add(time.Hour)).Cert, CA: year("ca", ends.Add(2*time.Hour)).Cert, CAFile: "/x/ca.crt"})
	j, logger := newJournal()
	w := &endsWatch{logger: logger, state: s}
	said := func(at time.Time) []string {
		w.look(at)
		return j.take()
	}
	file := filepath.Join(dir, "alpha.cert")
	client := "warning a client certificate expires soon"
	for _, step := range []struct {
		left time.Duration
		want []string
	}{
		{20 * 24 * time.Hour, nil},
		{14*24*time.Hour - time.Minute, []string{client}},
		{14*24*time.Hour - time.Hour - time.Minute, []string{"warning the certificate of a server expires soon"}},
		{14*24*time.Hour - 3*time.Hour, []string{"warning a CA expires soon"}},
		{13*24*time.Hour + time.Hour, nil},
		{13*24*time.Hour - time.Minute, []string{client}},
		{12*24*time.Hour - time.Hour, []string{client, "warning the certificate of a server expires soon", "warning a CA expires soon"}},
	} {
		var got []string
		for _, line := range said(ends.Add(-step.left)) {
			text, _, _ := strings.Cut(line, " soon ")
			got = append(got, text+" soon")
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s before the end (-want +got):\n%s", step.left, diff)
		}
	}
	if err := year("alpha", ends.AddDate(1, 0, 0)).Write(dir, "alpha"); err != nil {
		t.Fatal(err)
	}
	for _, line := range said(ends.Add(-24 * time.Hour)) {
		if strings.Contains(line, file) {
			t.Errorf("renewed: %s", line)
		}
	}
}

func TestWatchLooksEveryHourUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			WatchEnds(ctx)
		}()
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		cancel()
		<-ended
	})
}
