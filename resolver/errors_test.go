package resolver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/status"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestSignedURLsAreNotInErrors redirects to URLs with a signature: one that is
// answered, and one that nobody answers.
func TestSignedURLsAreNotInErrors(t *testing.T) {
	t.Parallel()
	other := newRegistry(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}))
	for name, target := range map[string]string{
		"one that refuses":   other.Host,
		"one that is not up": deadAddress(t),
	} {
		r := newRegistry(t, nil)
		r.Guard(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
			w.Header().Set("Location", "https://user:hush@"+target+"/blob?X-Signature=s3cr3t&x=%2F")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		})
		root := t.TempDir()
		if err := other.Servers.Write(r.Dir(t, root), "other"); err != nil {
			t.Fatal(err)
		}
		res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
		_, _, resolved := res.Resolve(t.Context(), r.Host+"/app:1")
		f, err := res.Fetcher(t.Context(), r.Host+"/app:1")
		if err != nil {
			t.Fatal(err)
		}
		_, fetched := readAll(t, f, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("x"), Size: 1})
		for _, err := range []error{resolved, fetched} {
			switch {
			case err == nil:
				t.Errorf("%s: no error", name)
			case strings.Contains(err.Error(), "s3cr3t"), strings.Contains(err.Error(), "hush"):
				t.Errorf("%s: a secret is in the error:\n%v", name, err)
			case !strings.Contains(err.Error(), target+"/blob"):
				t.Errorf("%s: the error does not say where it happened:\n%v", name, err)
			}
		}
	}
}

// TestErrorsKeepTheirClasses is what ctr and CRI tell errors apart by, across
// gRPC.
func TestErrorsKeepTheirClasses(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	root := t.TempDir()
	dir := r.Dir(t, root, "alpha")
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	if !errdefs.IsNotFound(err) {
		t.Fatalf("got %v", err)
	}
	sent := errgrpc.ToGRPC(fmt.Errorf("failed to resolve image: %w", err))
	received := errgrpc.ToNative(status.FromProto(status.Convert(sent).Proto()).Err())
	if !errdefs.IsNotFound(received) || !strings.Contains(received.Error(), dir) || !strings.Contains(received.Error(), "alpha.cert") {
		t.Errorf("after gRPC: %v", received)
	}
}

// TestErrorsAreBounded has a registry that refuses far more than anybody wants
// to read about, in many words.
func TestErrorsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Guard(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, strings.Repeat("no and again no ", 2000))
		return true
	})
	root := t.TempDir()
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprintf("pair%02d", i))
	}
	r.Dir(t, root, names...)
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/app:1")
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	if n := len(text); n > 64<<10 {
		t.Errorf("the error has %d bytes", n)
	}
	if strings.Contains(text, "pair00.cert") || !strings.Contains(text, "earlier attempts are left out") || !strings.Contains(text, "pair59.cert") {
		t.Errorf("got %v", err)
	}
}

// TestErrorsOfABodyAreExplained cuts a layer off for good.
func TestErrorsOfABodyAreExplained(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Guard(func(w http.ResponseWriter, _ *http.Request, _ string) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	})
	root := t.TempDir()
	r.Dir(t, root, "alpha")
	f, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Fetcher(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = readAll(t, f, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("x"), Size: 1})
	if !errors.As(err, new(*resolver.Error)) || !strings.Contains(err.Error(), "alpha.cert") {
		t.Errorf("got %v", err)
	}
}

// TestUploadIsRepeatedAfterAChallenge is about content.Copy, which begins again
// when the writer says so by content.ErrReset.
func TestUploadIsRepeatedAfterAChallenge(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("layer "), 1<<16)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(data), Size: int64(len(data))}
	r := newRegistry(t, nil)
	r.Guard(func(w http.ResponseWriter, req *http.Request, _ string) bool {
		if _, _, ok := req.BasicAuth(); ok || req.Method != http.MethodPut {
			return false
		}
		_, _ = io.CopyN(io.Discard, req.Body, 1<<15)
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	root := t.TempDir()
	r.Dir(t, root)
	p, err := resolver.New(resolver.Options{
		Hosts:       newHosts(t, root),
		Credentials: func(string) (string, string, error) { return "jo", "pw", nil },
	}).Pusher(t.Context(), r.Host+"/app:1")
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.Push(t.Context(), desc)
	if err != nil {
		t.Fatal(err)
	}
	if err := content.Copy(t.Context(), w, bytes.NewReader(data), desc.Size, desc.Digest); err != nil {
		t.Error(err)
	}
}
