package v1compat_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/certsd/containerd-certsd/v1compat"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

func ExampleClient_Image() {
	srv := v1test.New(v1test.Options{Quirks: v1test.Python09()})
	defer srv.Close()
	srv.Add("library/busybox", "latest",
		v1test.Layer{Data: []byte("the base's layer")},
		v1test.Layer{Data: []byte("the image's layer")},
	)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &v1compat.Client{
		Host:   srv.Host,
		Scheme: "http", // https, unless told
		HTTP:   &http.Client{Transport: transport},
	}
	ctx := context.Background()
	img, err := client.Image(ctx, "busybox", "latest")
	if err != nil {
		log.Print(err)
		return
	}
	for _, entry := range img.Entries {
		layer, err := entry.Open(ctx, 0)
		if err != nil {
			log.Print(err)
			return
		}
		data, err := io.ReadAll(layer)
		_ = layer.Close()
		fmt.Printf("%s %d bytes: %s %v\n", entry.ID[:12], entry.Size, data, err)
	}
	// Output:
	// 568149d29bc3 16 bytes: the base's layer <nil>
	// a74d885e76b6 17 bytes: the image's layer <nil>
}
