package gateway

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// TestFullDiskOnlyEndsSharing has a blob that does not fit on the disk.
func TestFullDiskOnlyEndsSharing(t *testing.T) {
	t.Parallel()
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=1m"); err != nil {
		citest.Missing(t, "only root can mount a small disk: "+err.Error())
	}
	t.Cleanup(func() { must(t, unix.Unmount(small, 0)) })
	b := newBlobServer(4 << 20)
	b.handler = b.whole
	u := newUpstream(t, b)
	g := newGateway(t, func(o *options) { o.SpoolDir = small }, u)
	for range 2 {
		if a := g.do(t, http.MethodGet, b.path(u)); a.err != nil || !bytes.Equal(a.body, b.content) {
			t.Errorf("%d, %d bytes, %v", a.status, len(a.body), a.err)
		}
	}
	g.spoolsAreEmpty(t)
}

// TestReserveTakesNothingThatIsNotThere on a disk of any size.
func TestReserveTakesNothingThatIsNotThere(t *testing.T) {
	t.Parallel()
	s := &spools{dir: t.TempDir(), limit: math.MaxInt64}
	sp := &spool{}
	err := s.reserve(sp, 1<<60)
	if errors.Is(err, errUnshared) || err == nil || s.used != 0 || sp.file != nil {
		t.Errorf("%v, %d bytes are taken", err, s.used)
	}
	must(t, s.reserve(sp, 0))
	must(t, sp.file.Close())
}
