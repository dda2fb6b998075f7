package v1compat

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/google/go-cmp/cmp"
)

// registry is a server and a client that waits for nothing.
func registry(t *testing.T, q v1test.Quirks) (*v1test.Server, *Client) {
	t.Helper()
	srv := v1test.New(v1test.Options{Quirks: q})
	t.Cleanup(srv.Close)
	return srv, clientOf(t, srv)
}

func clientOf(t *testing.T, srv *v1test.Server) *Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &Client{
		Host: srv.Host, Scheme: "http", HTTP: &http.Client{Transport: transport},
		sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

// layerBytes reads an entry's layer from the beginning.
func layerBytes(t *testing.T, e Entry) []byte {
	t.Helper()
	stream, err := e.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	data, err := io.ReadAll(stream)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestImage(t *testing.T) {
	t.Parallel()
	storage := v1test.NewStorage(nil)
	t.Cleanup(storage.Close)
	rows := map[string]v1test.Quirks{
		"a well-behaved server":  {},
		"python 0.6":             v1test.Python06(),
		"python 0.7":             v1test.Python07(),
		"python 0.9":             v1test.Python09(),
		"golang_impl":            v1test.Golang(),
		"a static tree":          v1test.Apache(),
		"the example of certs.d": v1test.Example(),
		"Crane":                  v1test.Crane(storage.URL),
		"Quay":                   v1test.Quay(storage.URL),
		"Google's":               v1test.GCR(storage.URL),
	}
	for name, quirks := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, c := registry(t, quirks)
			repository := "library/busybox"
			if quirks.Library == v1test.LibraryStrip {
				repository = "busybox"
			}
			layers := []v1test.Layer{{Data: []byte("base " + name)}, {Data: nil}, {Data: []byte("leaf " + name)}}
			built := srv.Add(repository, "latest", layers...)
			if quirks.Library == v1test.LibraryExact {
				srv.Add("busybox", "latest", layers...) // for the index call
			}
			storage.Take(built...)
			img, err := c.Image(t.Context(), "busybox", "latest")
			if err != nil {
				t.Fatal(err)
			}
			if img.Registry != srv.Host || img.Repository != "busybox" {
				t.Errorf("image of %s/%s", img.Registry, img.Repository)
			}
			if len(img.Entries) != len(built) {
				t.Fatalf("%d entries, want %d", len(img.Entries), len(built))
			}
			for i, e := range img.Entries {
				if e.ID != built[i].ID || !bytes.Equal(e.JSON, built[i].JSON) {
					t.Errorf("entry %d: id or JSON is not the registry's", i)
				}
				if diff := cmp.Diff(string(built[i].Data), string(layerBytes(t, e))); diff != "" {
					t.Errorf("layer %d (-want +got):\n%s", i, diff)
				}
			}
			if t.Failed() {
				t.Log(srv.URIs())
			}
		})
	}
}
