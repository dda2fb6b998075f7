package plugin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/google/go-cmp/cmp"
)

// helper is a client's credential helper.
type helper func(ctx context.Context, ref, host string) (registry.Credentials, error)

func (h helper) GetCredentials(ctx context.Context, ref, host string) (registry.Credentials, error) {
	return h(ctx, ref, host)
}

func stockRegistry(t *testing.T, opts ...registry.Opt) *registry.OCIRegistry {
	t.Helper()
	r, err := registry.NewOCIRegistry(t.Context(), "registry.test/app:1", opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReadRequestKeepsWhatTheCallerAskedFor(t *testing.T) {
	t.Parallel()
	stock := stockRegistry(t,
		registry.WithHeaders(http.Header{"X-Team": {"green"}}),
		registry.WithHostDir("/a:/b"),
		registry.WithDefaultScheme("http"),
		registry.WithHTTPDebug(),
		registry.WithHTTPTrace(),
	)
	req, err := readRequest(t.Context(), stock, nil)
	if err != nil {
		t.Fatal(err)
	}
	if req.reference != "registry.test/app:1" {
		t.Errorf("reference %q", req.reference)
	}
	if diff := cmp.Diff(http.Header{"X-Team": {"green"}}, req.header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	want := wishes{hostDir: "/a:/b", scheme: "http", dump: true, trace: true}
	if req.wishes != want {
		t.Errorf("wishes %+v, want %+v", req.wishes, want)
	}
	if req.credentials(t.Context()) != nil {
		t.Error("credentials without a helper")
	}
}

func TestReadRequestPrefersTheWishesOfAGRPCClient(t *testing.T) {
	t.Parallel()
	req, err := readRequest(t.Context(), stockRegistry(t, registry.WithHostDir("/in/process")), &wishes{hostDir: "/from/client"})
	if err != nil {
		t.Fatal(err)
	}
	if req.wishes.hostDir != "/from/client" {
		t.Errorf("hosts directory %q", req.wishes.hostDir)
	}
}

func TestCredentialsComeFromTheCallersHelper(t *testing.T) {
	t.Parallel()
	broken := errors.New("vault is sealed")
	ask := helper(func(_ context.Context, ref, host string) (registry.Credentials, error) {
		if ref != "registry.test/app:1" {
			t.Errorf("asked for the reference %q", ref)
		}
		switch host {
		case "basic.test":
			return registry.Credentials{Username: "jo", Secret: "pw"}, nil
		case "refresh.test":
			return registry.Credentials{Secret: "token"}, nil
		case "broken.test":
			return registry.Credentials{}, broken
		default:
			return registry.Credentials{}, nil
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := readRequest(ctx, stockRegistry(t, registry.WithCredentials(ask)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := req.close(); err != nil {
			t.Error(err)
		}
	}()
	credentials := req.credentials(ctx)
	for _, row := range []struct {
		host, user, secret string
		err                error
	}{
		{"basic.test", "jo", "pw", nil},
		{"broken.test", "", "", errNoAnswer},
		{"refresh.test", "", "token", nil},
		{"broken.test", "", "", errNoAnswer},
		{"anonymous.test", "", "", nil},
	} {
		user, secret, err := credentials(row.host)
		if user != row.user || secret != row.secret || !errors.Is(err, row.err) {
			t.Errorf("%s: %q %q %v, want %q %q %v", row.host, user, secret, err, row.user, row.secret, row.err)
		}
	}
}

func TestCredentialsEndWithTheTransfer(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	ask := helper(func(context.Context, string, string) (registry.Credentials, error) {
		close(asked)
		<-release
		return registry.Credentials{}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := readRequest(ctx, stockRegistry(t, registry.WithCredentials(ask)), nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-asked
		cancel()
	}()
	if _, _, err := req.credentials(ctx)("slow.test"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	if err := req.close(); err != nil {
		t.Error(err)
	}
}

func TestClosingOneEndOfAStreamEndsBoth(t *testing.T) {
	t.Parallel()
	a, b := newStreamPair()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("Recv: %v", err)
	}
	if err := b.Send(nil); !errors.Is(err, io.EOF) {
		t.Errorf("Send: %v", err)
	}
}

func TestHTTPDebugIsReadFromTheMessage(t *testing.T) {
	t.Parallel()
	for debug, want := range map[transfertypes.HTTPDebug]wishes{
		transfertypes.HTTPDebug_DISABLED: {},
		transfertypes.HTTPDebug_DEBUG:    {dump: true},
		transfertypes.HTTPDebug_TRACE:    {trace: true},
		transfertypes.HTTPDebug_BOTH:     {dump: true, trace: true},
	} {
		if got := wishesOf(&transfertypes.RegistryResolver{HttpDebug: debug}); got != want {
			t.Errorf("%s: %+v, want %+v", debug, got, want)
		}
	}
}
