package v1compat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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

// Whether a server speaks the protocol shows before anything is asked for.
func ExampleClient_Ping() {
	srv := v1test.New(v1test.Options{Quirks: v1test.Python09()})
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &v1compat.Client{Host: srv.Host, Scheme: "http", HTTP: &http.Client{Transport: transport}}
	ping, err := client.Ping(context.Background())
	check(err)
	fmt.Println(ping.Status, ping.Standalone)
	// Output:
	// 200 true
}

// An error has the class of the answer, and what was asked.
func ExampleError() {
	srv := v1test.New(v1test.Options{Quirks: v1test.Python09()})
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &v1compat.Client{Host: srv.Host, Scheme: "http", HTTP: &http.Client{Transport: transport}}
	_, err := client.Tags(context.Background(), "library/busybox")
	var answer *v1compat.Error
	if errors.As(err, &answer) {
		fmt.Println(answer.Status, answer.Path, errdefs.IsNotFound(err))
	}
	// Output:
	// 404 repositories/library/busybox/images true
}

// An image of a v1 registry becomes an OCI image in a directory. A store that
// keeps labels, such as containerd's, would let the next conversion find the
// layers that are there.
func ExampleConverter() {
	srv := v1test.New(v1test.Options{Quirks: v1test.Python09()})
	defer srv.Close()
	srv.Add("library/busybox", "latest",
		v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"etc/motd": "hello"}))},
		v1test.Layer{Data: v1test.Tar(nil), Fields: map[string]any{"config": map[string]any{"Cmd": []string{"cat", "/etc/motd"}}}},
	)
	dir, err := os.MkdirTemp("", "content")
	check(err)
	defer os.RemoveAll(dir)
	store, err := local.NewStore(dir)
	check(err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &v1compat.Client{Host: srv.Host, Scheme: "http", HTTP: &http.Client{Transport: transport}}

	ctx := context.Background()
	img, err := client.Image(ctx, "busybox", "latest")
	check(err)
	desc, err := (&v1compat.Converter{Store: store}).Convert(ctx, img)
	check(err)
	fmt.Println(desc.MediaType)

	manifest, err := images.Manifest(ctx, store, desc, nil)
	check(err)
	for _, layer := range manifest.Layers {
		fmt.Println(layer.MediaType)
	}
	blob, err := content.ReadBlob(ctx, store, manifest.Config)
	check(err)
	var config ocispec.Image
	check(json.Unmarshal(blob, &config))
	fmt.Println(config.OS, config.Architecture, config.Config.Cmd)
	for _, step := range config.History {
		fmt.Println("empty layer:", step.EmptyLayer)
	}
	// Output:
	// application/vnd.oci.image.manifest.v1+json
	// application/vnd.oci.image.layer.v1.tar+gzip
	// linux amd64 [cat /etc/motd]
	// empty layer: false
	// empty layer: true
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
