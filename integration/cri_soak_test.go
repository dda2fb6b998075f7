//go:build linux

package integration

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criSoakMain is the command "cri-soak [-pulls N] PROGRAM METRICS-URL REF":
// what the process takes after a fifth of the pulls is what it takes after all.
// Each fifth image is removed before.
func criSoakMain() {
	pulls := flag.Int("pulls", 2000, "how many pulls")
	exit(func(ctx context.Context, args []string) error {
		if len(args) < 3 {
			return errors.New("usage: cri-soak [-pulls N] PROGRAM METRICS-URL REF")
		}
		pid, err := pidOf(args[0])
		if err != nil {
			return err
		}
		conn, err := grpc.NewClient("unix://"+criSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		var before usage
		for i, n := range []int{*pulls / 5, *pulls - *pulls/5} {
			if err := pullAll(ctx, runtime.NewImageServiceClient(conn), args[2:], n); err != nil {
				return err
			}
			now, err := usageOf(ctx, pid, args[1])
			if err != nil {
				return err
			}
			fmt.Printf("after %d more pulls: %+v\n", n, now)
			if i > 0 && (now.descriptors > before.descriptors+8 || now.goroutines > before.goroutines+16 || now.memory > before.memory+16<<10) {
				return fmt.Errorf("it takes more and more: %+v, then %+v", before, now)
			}
			before = now
		}
		return nil
	})
}

func pullAll(ctx context.Context, service runtime.ImageServiceClient, refs []string, n int) error {
	var all errgroup.Group
	all.SetLimit(4)
	for i := range n {
		all.Go(func() error {
			// Other ones each time around.
			image := &runtime.ImageSpec{Image: refs[i%len(refs)]}
			if (i+i/len(refs))%5 == 0 {
				if _, err := service.RemoveImage(ctx, &runtime.RemoveImageRequest{Image: image}); err != nil {
					return err
				}
			}
			_, err := service.PullImage(ctx, &runtime.PullImageRequest{Image: image})
			return err
		})
	}
	return all.Wait()
}

// usage is what a process takes; memory is in KiB.
type usage struct{ descriptors, goroutines, memory int }

func usageOf(ctx context.Context, pid int, metrics string) (usage, error) {
	var u usage
	proc := "/proc/" + strconv.Itoa(pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return u, err
	}
	u.descriptors = len(fds)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return u, err
	}
	if u.memory, err = number(`VmRSS:\s+(\d+) kB`, status); err != nil {
		return u, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metrics, http.NoBody)
	if err != nil {
		return u, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return u, err
	}
	u.goroutines, err = number(`(?m)^go_goroutines (\d+)$`, body)
	return u, err
}

func number(pattern string, in []byte) (int, error) {
	m := regexp.MustCompile(pattern).FindSubmatch(in)
	if m == nil {
		return 0, fmt.Errorf("there is no %s", pattern)
	}
	return strconv.Atoi(string(m[1]))
}

// pidOf finds the process on this machine whose command line begins so.
func pidOf(commandLine string) (int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(dir.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile("/proc/" + dir.Name() + "/cmdline")
		if err == nil && strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), commandLine) && pid != os.Getpid() {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no process is %q", commandLine)
}
