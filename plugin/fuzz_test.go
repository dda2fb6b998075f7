package plugin

import (
	"net/http"
	"path/filepath"
	"slices"
	"testing"

	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"google.golang.org/protobuf/proto"

	"github.com/certsd/containerd-certsd/certsd"
)

// FuzzWishes reads the bytes of a client's request: what cannot be meant is
// refused, and no header is made up.
func FuzzWishes(f *testing.F) {
	for _, r := range []*transfertypes.RegistryResolver{
		{},
		{HostDir: "/a:/b", DefaultScheme: "http"},
		{HostDir: "relative"},
		{DefaultScheme: "ftp"},
		{Headers: map[string]string{"X-Team": "green", "": "x", "a b": "c\r\nd: e"}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r transfertypes.RegistryResolver
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		w := wishesOf(&r)
		if err := w.check(); err == nil && w.hostDir != "" && !slices.ContainsFunc(certsd.ParseRoots(w.hostDir), filepath.IsAbs) {
			t.Errorf("hosts directory %q", w.hostDir)
		}
		for key, values := range headerOf(r.Headers) {
			if len(values) == 0 || http.CanonicalHeaderKey(key) != key {
				t.Errorf("header %q: %q", key, values)
			}
		}
	})
}
