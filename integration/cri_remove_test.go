//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// criRemoveMain is the command "cri-remove TIMES REF": an image is pulled by certsd
// cri and removed at once, and then it has no name left in containerd.
func criRemoveMain() {
	exit(func(ctx context.Context, args []string) error {
		if len(args) != 2 {
			return errors.New("usage: cri-remove TIMES REF")
		}
		times, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		conn, err := grpc.NewClient("unix://"+criSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		client, err := containerd.New(socket)
		if err != nil {
			return err
		}
		defer client.Close()
		image := &runtime.ImageSpec{Image: args[1]}
		left := 0
		for range times {
			names, err := pullAndRemove(ctx, runtime.NewImageServiceClient(conn), client, image)
			if err != nil {
				return err
			}
			if len(names) > 0 {
				fmt.Println("left:", strings.Join(names, " "))
				left++
			}
		}
		fmt.Printf("removed %d times, %d times with something left\n", times, left)
		if left > 0 {
			return errors.New("an image that was removed is there")
		}
		return nil
	})
}

func pullAndRemove(ctx context.Context, service runtime.ImageServiceClient, client *containerd.Client, image *runtime.ImageSpec) (names []string, err error) {
	if _, err := service.PullImage(ctx, &runtime.PullImageRequest{Image: image}); err != nil {
		return nil, err
	}
	if _, err := service.RemoveImage(ctx, &runtime.RemoveImageRequest{Image: image}); err != nil {
		return nil, err
	}
	images, err := client.ImageService().List(namespaces.WithNamespace(ctx, "k8s.io"))
	for _, image := range images {
		names = append(names, image.Name)
	}
	return names, err
}
