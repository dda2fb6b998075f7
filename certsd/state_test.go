package certsd

import (
	"runtime"
	"testing"
	"time"
	"weak"
)

// TestDirectoriesDoNotKeepTransports: a Hosts outlives the Transports that use it.
func TestDirectoriesDoNotKeepTransports(t *testing.T) {
	t.Parallel()
	hosts := &Hosts{Roots: Roots{t.TempDir()}}
	host, err := hosts.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	use := func() weak.Pointer[Transport] {
		tr := &Transport{Hosts: hosts}
		tr.target(host.Endpoints[0])
		return weak.Make(tr)
	}
	tr := use()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for tr.Value() != nil {
			runtime.GC()
		}
	}()
	select {
	case <-collected:
	case <-time.After(time.Minute):
		t.Error("the transport is still there")
	}
	runtime.KeepAlive(hosts)
}

// TestTransportsRememberForThemselves: two of them over the same directories share
// no connection and no memory.
func TestTransportsRememberForThemselves(t *testing.T) {
	t.Parallel()
	dir := newCertsDir(t)
	a := dir.transport(t)
	host, err := a.Hosts.Lookup("reg")
	if err != nil {
		t.Fatal(err)
	}
	b := &Transport{Hosts: a.Hosts}
	ep := host.Endpoints[0]
	if a.target(ep).state != a.target(ep).state || a.target(ep).state == b.target(ep).state {
		t.Error("states are not those of a transport and an endpoint")
	}
}
