package pull_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/resolver"
)

// childEnv makes of the test binary a process that pulls, to be killed.
const childEnv = "CERTSD_PULL_TEST"

// child pulls os.Args[1] with the roots of os.Args[2] into os.Args[3].
func child() {
	ref, err := imageref.Parse(os.Args[1])
	if err == nil {
		hosts := &resolver.Hosts{Roots: certsd.Roots{os.Args[2]}}
		_, err = pull.ToLayout(context.Background(), &pull.Request{Ref: ref, Hosts: hosts}, os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestKilledPullNeverLooksComplete kills a pull with SIGKILL at each request it
// makes, in the middle of the answer, and once more at its very end.
func TestKilledPullNeverLooksComplete(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	own := r.own
	r.own = ranges(own)
	img := mutate.MediaType(randomImage(t, 50_000, 3), types.OCIManifestSchema1)
	r.push(t, "app:1", img)

	// A HEAD for the tag, then the manifest, the configuration and three layers.
	const requests = 6
	for at := 1; at <= requests+1; at++ {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "app")
			cmd := exec.CommandContext(t.Context(), os.Args[0], r.Host+"/app:1", r.root, dir)
			cmd.Env = append(os.Environ(), childEnv+"=1")
			var count atomic.Int32
			kill := make(chan struct{}, 1)
			r.Guard(func(w http.ResponseWriter, req *http.Request) bool {
				switch n := int(count.Add(1)); {
				case n < at && n < requests:
					return false
				case n == requests && at > requests:
					// All has been sent: the end comes anywhere in what is left.
					r.own.ServeHTTP(w, req)
					_ = http.NewResponseController(w).Flush()
					kill <- struct{}{}
					return true
				case n > at:
					<-req.Context().Done()
					return true
				}
				rec := &recorded{header: http.Header{}}
				r.own.ServeHTTP(rec, req)
				maps.Copy(w.Header(), rec.header)
				if req.Method == http.MethodHead {
					kill <- struct{}{}
					return true
				}
				w.Header().Set("Content-Length", strconv.Itoa(rec.body.Len()))
				_, _ = w.Write(rec.body.Bytes()[:rec.body.Len()/2])
				_ = http.NewResponseController(w).Flush()
				kill <- struct{}{}
				<-req.Context().Done()
				return true
			})
			check(t, cmd.Start())
			<-kill
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil && at <= requests {
				t.Error("the pull was not killed")
			}
			if named := entries(t, dir); named != nil {
				if at <= requests {
					t.Errorf("the index names %v", named)
				}
				complete(t, dir, named["1"])
			}

			r.Guard(nil)
			req := r.request(t, "app:1")
			req.Hosts = r.newHosts(t)
			res, err := pull.ToLayout(t.Context(), req, dir)
			check(t, err)
			if got, want := res.Target.Digest.String(), digestOf(t, img); got != want {
				t.Errorf("pulled %s, want %s", got, want)
			}
			complete(t, dir, entries(t, dir)["1"])
			if _, err := os.Stat(filepath.Join(dir, "ingest")); !os.IsNotExist(err) {
				t.Errorf("the ingest directory is left: %v", err)
			}
		})
	}
}
