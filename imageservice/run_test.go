package imageservice

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"                    //nolint:depguard // containerd's log has no logger of one's own to read
	logtest "github.com/sirupsen/logrus/hooks/test" //nolint:depguard // as above
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

// config is a configuration for the node.
func (n *node) config(t *testing.T) *Config {
	t.Helper()
	c := DefaultConfig()
	c.Root, c.Containerd = n.root, n.address
	c.Listen = "unix:" + filepath.Join(t.TempDir(), "run", "cri.sock")
	return c
}

// running is a daemon that runs, and how to end it.
func running(t *testing.T, c *Config) (path string, stop func() error, logged *logtest.Hook) {
	t.Helper()
	logger, logged := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	ctx, cancel := context.WithCancel(log.WithLogger(t.Context(), logrus.NewEntry(logger)))
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() { done <- c.Run(ctx, func(a net.Addr) { ready <- a }) }()
	select {
	case a := <-ready:
		path = a.String()
	case err := <-done:
		t.Fatal(err)
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { _ = stop() })
	return path, stop, logged
}

// line is the logged line of a message.
func line(logged *logtest.Hook, message string) *logrus.Entry {
	for _, e := range logged.AllEntries() {
		if strings.HasPrefix(e.Message, message) {
			return e
		}
	}
	return &logrus.Entry{}
}

// TestTheDaemon is one from its start to its end: it pulls, tells of it in log,
// metrics and status, and leaves nothing behind.
func TestTheDaemon(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	pushed := n.registry.push(t, "team/app:1")
	c := n.config(t)
	c.Metrics = "127.0.0.1:0"
	c.ImagePullProgressTimeout = "0s"
	path, stop, logged := running(t, c)
	client := dialImages(t, path)
	id, err := n.pull(t.Context(), client, "team/app:1", nil)
	if err != nil || id != idOf(t, pushed) {
		t.Fatalf("got %s, %v", id, err)
	}
	if _, err := n.pull(t.Context(), client, "team/none:1", nil); err == nil {
		t.Error("an image that is not there was pulled")
	}
	ref := n.registry.host + "/team/app:1"
	if e := line(logged, "certsd cri: pulled"); e.Data["ref"] != ref || e.Data["id"] != id || e.Data["snapshotter"] != "native" || e.Level != logrus.InfoLevel {
		t.Errorf("logged was %v", e.Data)
	}
	if e := line(logged, "certsd cri: pull failed"); e.Data["ref"] != n.registry.host+"/team/none:1" || e.Level != logrus.ErrorLevel || e.Data[logrus.ErrorKey] == nil {
		t.Errorf("logged was %v", e.Data)
	}

	address, _ := line(logged, "certsd cri: metrics").Data["address"].(string)
	for _, tt := range []struct {
		path, host string
		code       int
		says       string
	}{
		{"/metrics", address, http.StatusOK, "certsd_"},
		{"/status", address, http.StatusOK, n.registry.host},
		{"/status", "rebound.test", http.StatusMisdirectedRequest, "by the name of this machine"},
	} {
		code, body := get(t, "http://"+address+tt.path, tt.host)
		if code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("%s as %s: %d, without %q", tt.path, tt.host, code, tt.says)
		}
	}
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	st, err := statusrpc.Get(t.Context(), conn)
	if err != nil || st.Daemon != status.ImageService || st.Containerd != n.address || st.Roots[0] != n.root {
		t.Errorf("%+v, %v", st, err)
	}

	must(t, stop())
	if _, err := os.Stat(path); err == nil {
		t.Error("its socket is left")
	}
	if left := n.leases(t); len(left) > 0 {
		t.Errorf("leases are left: %v", left)
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address); err == nil {
		t.Error("its metrics are still served")
	}
}

func get(t *testing.T, url, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	req.Host = host
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(body)
}

// TestADaemonThatCannotStart says why, and has taken nothing.
func TestADaemonThatCannotStart(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for want, change := range map[string]func(c *Config, file string){
		"metrics: ":                     func(c *Config, _ string) { c.Metrics = taken.Addr().String() },
		"listen: ":                      func(c *Config, file string) { c.Listen = "unix:" + filepath.Join(file, "cri.sock") },
		"containerd_config: FILE:1":     func(c *Config, file string) { c.ContainerdConfig = file },
		`log_level: "loud"`:             func(c *Config, _ string) { c.LogLevel = "loud" },
		"docker_config: ":               func(c *Config, _ string) { c.DockerConfig = "config.json" },
		`image_pull_progress_timeout: `: func(c *Config, _ string) { c.ImagePullProgressTimeout = "soon" },
	} {
		c := DefaultConfig()
		dir, file := t.TempDir(), brokenFile(t)
		c.Root, c.Containerd, c.Listen = t.TempDir(), filepath.Join(dir, "none"), "unix:"+filepath.Join(dir, "cri.sock")
		change(c, file)
		err := c.Run(t.Context(), func(net.Addr) { t.Errorf("%s: it is ready", want) })
		if want = strings.ReplaceAll(want, "FILE", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := os.Stat(filepath.Join(dir, "cri.sock")); err == nil {
			t.Errorf("%s: its socket is left", want)
		}
	}
}

// TestADaemonKeepsToItsSettings of the configuration file, over what CRI has.
func TestADaemonKeepsToItsSettings(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.registry.push(t, "team/pause:3")
	c := n.config(t)
	c.SandboxImage = n.registry.host + "/team/pause:3"
	logger, _ := logtest.NewNullLogger()
	ctx, cancel := context.WithCancel(log.WithLogger(t.Context(), logrus.NewEntry(logger)))
	pulled, done := make(chan struct{}), make(chan error, 1)
	logger.AddHook(onMessage{"certsd cri: pulled", func() { close(pulled) }})
	go func() { done <- c.Run(ctx, nil) }()
	select {
	case <-pulled:
	case err := <-done:
		t.Fatal(err)
	}
	cancel()
	must(t, <-done)
	if got := n.image(t, c.SandboxImage).Labels[labelPinned]; got != pinned {
		t.Errorf("the sandbox image is %q", got)
	}
}

// onMessage calls do when a message is logged.
type onMessage struct {
	message string
	do      func()
}

func (onMessage) Levels() []logrus.Level { return logrus.AllLevels }

func (o onMessage) Fire(e *logrus.Entry) error {
	if e.Message == o.message {
		o.do()
	}
	return nil
}
