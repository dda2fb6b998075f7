package imageservice

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// misled makes containerd see another file than the one that leads it to the registry on
// 127.0.0.1, as in another mount namespace.
func misled(t *testing.T, s *server) (restore func()) {
	t.Helper()
	file := filepath.Join(s.target.loopback.dir, "_default", "hosts.toml")
	must(t, os.WriteFile(file, []byte("server = \"http://127.0.0.1:1\"\n"), 0o600))
	return func() { must(t, os.Remove(file)) } // it is written again
}

// TestAContainerdThatDoesNotSeeTheRegistry is found out once, is warned of once, and gets
// its images over the socket. It is asked again after a while.
func TestAContainerdThatDoesNotSeeTheRegistry(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	warned := n.warnings()
	s, client := n.serve(t)
	restore := misled(t, s)
	probe := &s.target.loopback.probe
	pull := func(ref string) {
		t.Helper()
		pushed := n.registry.push(t, ref)
		id, err := n.pull(t.Context(), client, ref, nil)
		if must(t, err); id != idOf(t, pushed) {
			t.Errorf("got %s", id)
		}
	}
	before := time.Now()
	pull("team/app:1")
	pull("team/app:2")
	n.came(t, overSocket, overSocket)
	got := warned()
	if len(got) != 1 || !strings.Contains(got[0], "images pass through containerd's socket") || !strings.Contains(got[0], s.target.loopback.dir) || !strings.Contains(got[0], "namespaces") {
		t.Errorf("warned of %q", got)
	}
	if n.called(transferMethod) != 1 {
		t.Errorf("it was asked %d times", n.called(transferMethod))
	}
	if probe.next.Before(before.Add(probeAgain)) || probe.next.After(time.Now().Add(probeAgain)) {
		t.Errorf("it is asked again at %s", probe.next)
	}

	probe.next = time.Now() // a minute later
	pull("team/app:3")
	n.came(t, overSocket)
	if got := warned(); len(got) > 0 || n.called(transferMethod) != 2 {
		t.Errorf("a minute later warned of %q, asked %d times", got, n.called(transferMethod))
	}

	// It is another containerd, and no better.
	n.stop()
	n.start(t)
	pull("team/app:4")
	pull("team/app:5")
	n.came(t, overSocket, overSocket)
	if got := warned(); len(got) != 1 || n.called(transferMethod) != 3 {
		t.Errorf("the next containerd: warned of %q, asked %d times", got, n.called(transferMethod))
	}

	restore()
	probe.next = time.Now()
	pull("team/app:6")
	n.came(t, overLoopback)
	if got := warned(); len(got) > 0 || n.called(transferMethod) != 5 {
		t.Errorf("in the end warned of %q, asked %d times", got, n.called(transferMethod))
	}
	pull("team/app:7")
	n.came(t, overLoopback)
	if n.called(transferMethod) != 6 {
		t.Errorf("it is asked each time: %d", n.called(transferMethod))
	}
}

// TestAContainerdWithoutTransfers is one that is warned of.
func TestAContainerdWithoutTransfers(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{noTransfers: true})
	warned := n.warnings()
	n.registry.push(t, "team/app:1")
	_, client := n.serve(t)
	_, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	n.came(t, overSocket)
	if got := warned(); len(got) != 1 || !strings.Contains(got[0], "Transfer") {
		t.Errorf("warned of %q", got)
	}
}

// TestContainerd1IsNotAsked to fetch images, which it would do elsewhere.
func TestContainerd1IsNotAsked(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.options.HostsDir = filepath.Join(n.dir, "hosts")
	warned := n.warnings()
	n.registry.push(t, "team/app:1")
	s, client := n.serve(t)
	s.Prepare(t.Context())
	_, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	n.came(t, overSocket)
	if got := warned(); len(got) > 0 || n.called(transferMethod) != 0 {
		t.Errorf("warned of %q, asked %d times", got, n.called(transferMethod))
	}
}

// TestAtStartContainerdIsAsked so that the first pull need not wait.
func TestAtStartContainerdIsAsked(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	n.registry.push(t, "team/app:1")
	s, client := n.serve(t)
	s.Prepare(t.Context())
	if n.called(transferMethod) != 1 || n.called(leaseMethod) != 0 {
		t.Errorf("it was asked %d times, with %d leases, which would outlive this process if it were killed", n.called(transferMethod), n.called(leaseMethod))
	}
	_, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	n.came(t, overLoopback)
	if n.called(transferMethod) != 2 {
		t.Errorf("it was asked %d times", n.called(transferMethod))
	}
}
