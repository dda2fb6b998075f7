package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

// child is a gateway in a process of its own.
type child struct {
	cmd       *exec.Cmd
	url       string
	secret    string
	transport *http.Transport
}

func startChild(t *testing.T, root, state string) *child {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	c := &child{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), self), transport: &http.Transport{}}
	c.cmd.Env = append(os.Environ(), childState+"="+state, childRoot+"="+root)
	out, err := c.cmd.StdoutPipe()
	must(t, err)
	must(t, c.cmd.Start())
	t.Cleanup(c.kill)
	address, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	c.url = "http://" + strings.TrimSpace(address)
	c.secret, err = (&sharedSecret{Dir: state}).Value()
	must(t, err)
	return c
}

// kill ends the process as a power cut would. It may be called again.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.transport.CloseIdleConnections()
}

// errNotServed is what is no answer: there is nothing wrong with that while
// gateways are killed.
type errNotServed struct{ error }

// fetch returns content that came whole with status 200, which has to have
// its digest.
func (c *child) fetch(ctx context.Context, path string, want digest.Digest) ([]byte, digest.Digest, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set(tokenHeader, c.secret)
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, "", errNotServed{err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, "", errNotServed{err}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", errNotServed{fmt.Errorf("%s: %d %s", path, resp.StatusCode, body)}
	}
	said := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if got := digest.FromBytes(body); got != said || want != "" && got != want {
		return nil, "", fmt.Errorf("%s: CORRUPT: %d bytes are %s, said to be %s, asked for %q", path, len(body), got, said, want)
	}
	return body, said, nil
}

// pull fetches all of an image.
func (c *child) pull(ctx context.Context, host, repository, tag string) (digest.Digest, error) {
	body, d, err := c.fetch(ctx, "/v2/"+repository+"/manifests/"+tag+"?ns="+host, "")
	if err != nil {
		return "", err
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return "", err
	}
	for _, blob := range append(manifest.Layers, manifest.Config) {
		if _, _, err := c.fetch(ctx, "/v2/"+repository+"/blobs/"+blob.Digest.String()+"?ns="+host, blob.Digest); err != nil {
			return "", err
		}
	}
	return d, nil
}

// TestKilledAtAnyPoint kills gateways in the middle of conversions and
// downloads. What the next one serves is whole and right.
func TestKilledAtAnyPoint(t *testing.T) {
	t.Parallel()
	a, u := newArchive(t), newUpstream(t, nil)
	noise := rand.NewChaCha8([32]byte{1})
	for i := range 4 {
		layer := make([]byte, 1<<20)
		_, _ = noise.Read(layer)
		a.Add("library/app", strconv.Itoa(i),
			v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"noise": string(layer)}))},
			v1test.Layer{Data: v1test.Tar(map[string]string{"more": string(layer[:300<<10]), "tag": strconv.Itoa(i)})})
		u.push(t, fmt.Sprintf("team/app:%d", i), 2)
	}
	root, state := t.TempDir(), t.TempDir()
	a.dir(t, root)
	u.dir(t, root)

	var kills int
	// Each gateway is killed when the archive has sent so many parts of layers.
	for round, parts := range []int64{1, 3, 9, 20, 33} {
		c := startChild(t, root, state)
		killed := make(chan struct{})
		var once sync.Once
		a.during(func(n int64) {
			if n >= parts {
				once.Do(func() { c.kill(); close(killed) })
			}
		})
		var wait sync.WaitGroup
		for i := range 8 {
			wait.Go(func() {
				for n := range 20 {
					var err error
					if tag := strconv.Itoa((i + n) % 4); i%2 == 0 {
						_, err = c.pull(t.Context(), a.Host, "library/app", tag)
					} else {
						_, err = c.pull(t.Context(), u.host, "team/app", tag)
					}
					if _, ok := err.(errNotServed); err != nil && !ok { //nolint:errorlint // it is not wrapped
						t.Errorf("round %d: %v", round, err)
					}
					select {
					case <-killed:
						return
					default:
					}
				}
			})
		}
		wait.Wait()
		select {
		case <-killed:
			kills++
		default: // all was converted before
		}
		c.kill()
		a.during(nil)
	}
	if kills < 3 {
		t.Errorf("only %d gateways were killed in the middle of a conversion", kills)
	}

	c := startChild(t, root, state)
	first := map[string]digest.Digest{}
	for i := range 4 {
		tag := strconv.Itoa(i)
		d, err := c.pull(t.Context(), a.Host, "library/app", tag)
		must(t, err)
		first[tag] = d
		_, err = c.pull(t.Context(), u.host, "team/app", tag)
		must(t, err)
	}
	c.kill()
	// A gateway that was never killed makes the same of it.
	c = startChild(t, root, t.TempDir())
	for tag, want := range first {
		if d, err := c.pull(t.Context(), a.Host, "library/app", tag); err != nil || d != want {
			t.Errorf("%s: %s, want %s, %v", tag, d, want, err)
		}
	}
	c.kill()
	if left, err := filepath.Glob(filepath.Join(state, "spool-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
