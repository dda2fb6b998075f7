//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criSocket is where certsd cri listens if nobody says otherwise.
const criSocket = "/run/certsd/cri.sock"

// criKillMain is the command "cri-kill TIMES REF [FLAG...]": certsd cri, with these
// flags, is killed at a random moment of a pull, and started again; the pull after
// that has to succeed, with every blob as its digest says, and neither a lease nor
// what is half written may be left. A helper for tokens that it had ends.
func criKillMain() {
	exit(func(ctx context.Context, args []string) error {
		if len(args) < 2 {
			return errors.New("usage: cri-kill TIMES REF [FLAG...]")
		}
		times, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		k, err := newKiller(args[1], args[2:])
		if err != nil {
			return err
		}
		if err := k.whole(ctx); err != nil {
			return err
		}
		for i := range times {
			if err := k.round(ctx, rand.N(k.took)); err != nil {
				return fmt.Errorf("round %d: %w", i, err)
			}
		}
		fmt.Printf("killed %d times, %d pulls had ended by then, %d helpers ran\n", times, k.ended, k.helpers)
		return nil
	})
}

type killer struct {
	ref    string
	flags  []string
	conn   *grpc.ClientConn
	images runtime.ImageServiceClient
	client *containerd.Client
	// took is what the last whole pull took, ended counts the pulls that were
	// over before the kill, helpers the kills that found one.
	took           time.Duration
	ended, helpers int
}

func newKiller(ref string, flags []string) (*killer, error) {
	client, err := containerd.New(socket)
	return &killer{ref: ref, flags: flags, client: client}, err
}

// start starts a process, with a connection of its own: one to a process that
// was killed may be found out only by the next call.
func (k *killer) start(ctx context.Context) (*exec.Cmd, error) {
	p, err := startCRI(ctx, k.flags)
	if err != nil {
		return nil, err
	}
	if k.conn != nil {
		_ = k.conn.Close()
	}
	soon := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: pollInterval, Multiplier: 1, MaxDelay: pollInterval}}
	k.conn, err = grpc.NewClient("unix://"+criSocket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(soon))
	if err != nil {
		return nil, err
	}
	k.images = runtime.NewImageServiceClient(k.conn)
	return p, nil
}

// round kills one process in its pull, and lets the next one do it.
func (k *killer) round(ctx context.Context, after time.Duration) error {
	p, err := k.start(ctx)
	if err != nil {
		return err
	}
	pull, giveUp := context.WithCancel(ctx)
	defer giveUp()
	done := make(chan error, 1)
	go func() { done <- k.pull(pull) }()
	time.Sleep(after) // a random moment has no event
	if helpersRun(ctx) {
		k.helpers++
	}
	if err := p.Process.Kill(); err != nil {
		return err
	}
	_ = p.Wait() // it was killed
	if err := noHelper(ctx); err != nil {
		return err
	}
	giveUp() // the call may not have begun
	if err := <-done; err == nil {
		k.ended++
	}
	return k.whole(ctx)
}

// whole starts a process, pulls, looks at all that is there, and removes it.
func (k *killer) whole(ctx context.Context) error {
	p, err := k.start(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = p.Process.Signal(os.Interrupt)
		_ = p.Wait()
	}()
	began := time.Now()
	if err := k.pullSoon(ctx, p); err != nil {
		return err
	}
	k.took = time.Since(began)
	ctx = namespaces.WithNamespace(ctx, "k8s.io")
	if err := k.check(ctx); err != nil {
		return err
	}
	if err := k.noLease(ctx); err != nil {
		return err
	}
	if err := k.noIngest(ctx); err != nil {
		return err
	}
	_, err = k.images.RemoveImage(ctx, &runtime.RemoveImageRequest{Image: &runtime.ImageSpec{Image: k.ref}})
	return err
}

// pullSoon lets a process that takes too long say what it waits for.
func (k *killer) pullSoon(ctx context.Context, p *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime/2)
	defer cancel()
	context.AfterFunc(ctx, func() {
		if ctx.Err() == context.DeadlineExceeded {
			_ = p.Process.Signal(syscall.SIGQUIT)
		}
	})
	return k.pull(ctx)
}

func (k *killer) pull(ctx context.Context) error {
	_, err := k.images.PullImage(ctx, &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: k.ref}}, grpc.WaitForReady(true))
	return err
}

// check reads every blob of the image, and looks whether it is unpacked.
func (k *killer) check(ctx context.Context) error {
	image, err := k.client.GetImage(ctx, k.ref)
	if err != nil {
		return err
	}
	if ok, err := image.IsUnpacked(ctx, ""); err != nil || !ok {
		return fmt.Errorf("%s is not unpacked: %w", k.ref, err)
	}
	store := k.client.ContentStore()
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		b, err := content.ReadBlob(ctx, store, desc)
		if err != nil {
			return nil, err
		}
		if got := digest.FromBytes(b); got != desc.Digest {
			return nil, fmt.Errorf("%s has the content of %s", desc.Digest, got)
		}
		return images.Children(ctx, store, desc)
	}), image.Target())
}

// noLease waits for the leases of killed processes to go, which are removed
// beside the first pull.
func (k *killer) noLease(ctx context.Context) error {
	var left []string
	for deadline := time.Now().Add(readyTime); time.Now().Before(deadline); time.Sleep(pollInterval) {
		list, err := k.client.LeasesService().List(ctx)
		if err != nil {
			return err
		}
		left = nil
		for _, l := range list {
			left = append(left, l.ID)
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("leases are left: %s", strings.Join(left, ", "))
}

// noIngest fails where something is half written.
func (k *killer) noIngest(ctx context.Context) error {
	list, err := k.client.ContentStore().ListStatuses(ctx)
	if err != nil {
		return err
	}
	var left []string
	for _, s := range list {
		left = append(left, s.Ref)
	}
	if len(left) > 0 {
		return fmt.Errorf("ingests are left: %s", strings.Join(left, ", "))
	}
	return nil
}

// helpersRun reports whether there is a helper for tokens. Nobody here takes note
// of orphans that have ended: they are none.
func helpersRun(ctx context.Context) bool {
	return exec.CommandContext(ctx, "pgrep", "-r", "DRS", "-x", "certsd-pkcs11").Run() == nil
}

// noHelper waits for the helpers of a process that was killed to end.
func noHelper(ctx context.Context) error {
	for deadline := time.Now().Add(readyTime); time.Now().Before(deadline); time.Sleep(pollInterval) {
		if !helpersRun(ctx) {
			return nil
		}
	}
	return errors.New("a helper of a process that was killed goes on")
}

// startCRI starts a certsd cri and waits until it listens.
func startCRI(ctx context.Context, flags []string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, "certsd", append([]string{"cri", "--log-level", "error"}, flags...)...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(readyTime); ; time.Sleep(pollInterval) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", criSocket)
		if err == nil {
			return cmd, conn.Close()
		}
		if time.Now().After(deadline) {
			return nil, err
		}
	}
}
