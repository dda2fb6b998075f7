package imageservice

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHostsFile leads everybody's containerd to the registry, for all registries, and has
// no secret.
func TestHostsFile(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	file := filepath.Join(l.dir, "_default", "hosts.toml")
	text, err := os.ReadFile(file)
	must(t, err)
	want := "# certsd cri writes this file, for pulls that it has containerd make.\nserver = \"http://" + l.address + "\"\ncapabilities = [\"pull\", \"resolve\"]\n"
	if string(text) != want {
		t.Errorf("it says %q", text)
	}
	info, err := os.Stat(file)
	must(t, err)
	if info.Mode() != 0o644 {
		t.Errorf("its mode is %s", info.Mode())
	}
	key, withdraw := l.add(&offer{})
	defer withdraw()
	must(t, os.Remove(file))
	must(t, l.writeHosts()) // somebody has removed it
	text, err = os.ReadFile(file)
	if must(t, err); string(text) != want || strings.Contains(string(text), key) {
		t.Errorf("then it says %q", text)
	}
	host, _, err := net.SplitHostPort(l.address)
	if err != nil || host != "127.0.0.1" {
		t.Errorf("it listens on %s", l.address)
	}
}

// TestKeys are different, and long enough that nobody guesses them.
func TestKeys(t *testing.T) {
	t.Parallel()
	l := newTestLoopback(t)
	keys := map[string]bool{}
	for range 100 {
		key, withdraw := l.add(&offer{})
		withdraw()
		if keys[key] || len(key) < 26 { // 128 bits in base32
			t.Errorf("the key %q", key)
		}
		keys[key] = true
	}
}

// TestDirectoriesOfProcesses: what a killed one has left is removed, what a living one
// needs is kept, and nothing of one that has ended is left.
func TestDirectoriesOfProcesses(t *testing.T) {
	t.Parallel()
	hosts := filepath.Join(t.TempDir(), "hosts")
	lives := func(process string) bool { return process == "living" }
	for _, process := range []string{"living", "killed"} {
		must(t, os.MkdirAll(filepath.Join(hosts, process, "_default"), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(hosts, "killed", "_default", "hosts.toml"), []byte("server = 'http://127.0.0.1:1'"), 0o600))
	first, err := newLoopback(t.Context(), hosts, "first", lives)
	must(t, err)
	if got := entries(t, hosts); !slices.Equal(got, []string{"first", "living"}) {
		t.Errorf("there are %v", got)
	}
	first.Close()
	if got := entries(t, hosts); !slices.Equal(got, []string{"living"}) {
		t.Errorf("then there are %v", got)
	}
	must(t, os.RemoveAll(filepath.Join(hosts, "living")))
	second, err := newLoopback(t.Context(), hosts, "second", lives)
	must(t, err)
	second.Close()
	if _, err := os.Stat(hosts); !os.IsNotExist(err) {
		t.Errorf("the last one leaves %v: %v", hosts, err)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestClosedLoopback has no connection and no listener; goleak sees the rest.
func TestClosedLoopback(t *testing.T) {
	t.Parallel()
	l, err := newLoopback(t.Context(), t.TempDir(), "process", func(string) bool { return true })
	must(t, err)
	o, manifest, _ := offerOf(t.Context(), 0, holding(nil))
	key, withdraw := l.add(o)
	used, strange := dialLoopback(t, l), dialLoopback(t, l)
	if code, err := used.ask(key, manifest.String()); code != 200 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	if code, err := strange.ask("x"+key, manifest.String()); code != 403 || err != nil {
		t.Fatalf("%d, %v", code, err)
	}
	withdraw()
	l.Close()
	if code, err := strange.ask(key, manifest.String()); err == nil {
		t.Errorf("a stranger's connection is left, and answers %d", code)
	}
	if c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.address); err == nil {
		_ = c.Close()
		t.Error("it still listens")
	}
}

// TestADirectoryThatCannotBeWritten is warned of at start, and images go over the socket.
func TestADirectoryThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	file := filepath.Join(n.dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	n.options.HostsDir = filepath.Join(file, "hosts")
	warned := n.warnings()
	pushed := n.registry.push(t, "team/app:1")
	_, client := n.serve(t)
	id, err := n.pull(t.Context(), client, "team/app:1", nil)
	if must(t, err); id != idOf(t, pushed) {
		t.Errorf("got %s", id)
	}
	n.came(t, overSocket)
	n.whole(t, n.registry.host+"/team/app:1")
	if got := warned(); len(got) != 1 || !strings.Contains(got[0], "images pass through containerd's socket") || !strings.Contains(got[0], file) {
		t.Errorf("warned of %q", got)
	}
	if n.called(transferMethod) != 0 {
		t.Error("containerd was asked")
	}
}
