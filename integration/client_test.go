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
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// clientTime bounds a request of the small clients below.
const clientTime = 2 * time.Minute

// getMain is the command "get URL": what a server answers in plain HTTP.
func getMain() {
	exit(func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return errors.New("usage: get URL")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			return fmt.Errorf("%s: %s: %s", args[0], resp.Status, said)
		}
		_, err = io.Copy(os.Stdout, resp.Body)
		return err
	})
}

// criPullMain is the command "cri-pull [-socket PATH] [-times N] [-handler NAME] [-user NAME -password WORD] REF": it
// does what the kubelet does.
func criPullMain() {
	user := flag.String("user", "", "user name for the registry")
	password := flag.String("password", "", "password for the registry")
	address := flag.String("socket", socket, "socket of the image service")
	handler := flag.String("handler", "", "runtime handler of the pod")
	times := flag.Int("times", 1, "how often, all at once")
	exit(func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return errors.New("usage: cri-pull [-socket PATH] [-times N] [-handler NAME] [-user NAME -password WORD] REF")
		}
		conn, err := grpc.NewClient("unix://"+*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		req := &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: args[0], RuntimeHandler: *handler}}
		if *user != "" {
			req.Auth = &runtime.AuthConfig{Username: *user, Password: *password}
		}
		var all errgroup.Group
		for range *times {
			all.Go(func() error {
				resp, err := runtime.NewImageServiceClient(conn).PullImage(ctx, req)
				if err == nil {
					fmt.Println(resp.GetImageRef())
				}
				return err
			})
		}
		return all.Wait()
	})
}

// exit runs a command and ends the process.
func exit(run func(context.Context, []string) error) {
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), clientTime)
	err := run(ctx, flag.Args())
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
