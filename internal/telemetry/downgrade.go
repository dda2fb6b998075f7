package telemetry

import (
	"sync"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// downgrades remembers which hosts are trusted with less verification than their
// directories could require, to log each once until it changes. Its zero value is ready
// to use.
type downgrades struct {
	mu    sync.Mutex // guards known
	known map[downgraded]certsd.Downgrade
}

// downgraded is a way to reach a host. TLS and plain HTTP are kept apart: a fallback
// switches between them with each pull.
type downgraded struct {
	registry, host string
	kind           kind
}

type kind uint8

const (
	overTLS kind = iota
	overPlainHTTP
	overV1
)

// spoken holds the messages for the downgrades, and whether each is a warning: one that
// the administrator or a default chose for good reasons is not.
var spoken = []struct {
	what    certsd.Downgrade
	message string
	warn    bool
}{
	{certsd.SkippedVerify, msgSkipVerify, true},
	{certsd.UnverifiedLocalhost, msgLocalhost, false},
	{certsd.AppendedSystemRoots, msgSystemRoots, false},
	{certsd.SpokePlainHTTP, msgPlainHTTP, true},
}

func (d *downgrades) round(logger *log.Entry, r certsd.Round) {
	last := r.Attempts[len(r.Attempts)-1]
	at := downgraded{r.Registry, r.Host, overTLS}
	if r.Downgrade.Has(certsd.SpokePlainHTTP) {
		at.kind = overPlainHTTP
	}
	news := d.note(at, r.Downgrade)
	if news == 0 {
		return
	}
	entry := logger.WithFields(log.Fields{"host": r.Host, "identity": last.Identity, "registry": r.Registry, "dir": last.Dir})
	for _, s := range spoken {
		switch {
		case !news.Has(s.what):
		case s.warn:
			entry.Warn(s.message)
		default:
			entry.Info(s.message)
		}
	}
}

func (d *downgrades) v1(logger *log.Entry, c resolver.Conversion) {
	if d.note(downgraded{c.Registry, c.Registry, overV1}, 1) != 0 {
		logger.WithFields(log.Fields{"host": c.Registry, "identity": c.Identity}).Warn(msgV1)
	}
}

// note records the downgrades of a host, and returns the new ones.
func (d *downgrades) note(at downgraded, now certsd.Downgrade) (news certsd.Downgrade) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.known[at]
	if before == now {
		return 0
	}
	if d.known == nil || len(d.known) >= maxRemembered {
		d.known = map[downgraded]certsd.Downgrade{}
	}
	if d.known[at] = now; now == 0 {
		delete(d.known, at)
	}
	return now &^ before
}

// changed forgets the downgrades that a changed directory may have ended. For TLS the
// next request shows that; the end of plain HTTP or Registry v1 shows nowhere.
func (d *downgrades) changed(host string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for at := range d.known {
		if at.kind != overTLS && (at.host == host || at.registry == host) {
			delete(d.known, at)
		}
	}
}
