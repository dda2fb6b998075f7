package plugin

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"

	transferapi "github.com/containerd/containerd/api/services/transfer/v1"
	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/streaming"
	"github.com/containerd/containerd/v2/pkg/imageverifier/bindir"
	"github.com/containerd/containerd/v2/plugins"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	containerd "github.com/containerd/containerd/v2/version"
	"github.com/containerd/plugin"
	"github.com/pelletier/go-toml/v2"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

// streamManager is containerd's, of which the tests open no stream.
type streamManager struct{ clientStreams }

func (streamManager) Register(context.Context, string, streaming.Stream) error { return nil }

// load initializes the three plugins as containerd does, from a configuration, beside
// those of its own that they need.
func load(t *testing.T, set *plugin.Set, ours, transfers string) error {
	t.Helper()
	store, err := contentlocal.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b, err := bolt.Open(filepath.Join(t.TempDir(), "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	db := metadata.NewDB(b, store, nil)
	fake(t, set, plugins.MetadataPlugin, "bolt", db, nil)
	fake(t, set, plugins.LeasePlugin, "manager", metadata.NewLeaseManager(db), nil)
	fake(t, set, plugins.ImageVerifierPlugin, "bindir", bindir.NewImageVerifier(&bindir.Config{}), nil)
	fake(t, set, plugins.StreamingPlugin, "manager", streamManager{}, nil)
	for _, p := range []struct {
		typ    plugin.Type
		config string
	}{{plugins.InternalPlugin, ours}, {plugins.TransferPlugin, transfers}, {plugins.GRPCPlugin, ""}} {
		r := registered(p.typ, pluginID)
		ic := initContext(t, set, io.Discard)
		if ic.Config = copyConfig(r.Config); ic.Config != nil {
			if err := toml.Unmarshal([]byte(p.config), ic.Config); err != nil {
				t.Fatal(err)
			}
		}
		loaded := r.Init(ic)
		if err := errors.Join(set.Add(loaded), loaded.Err()); err != nil {
			return err
		}
	}
	return nil
}

// TestTheServicesOfThePlugin answer at containerd's socket: which directories are in
// use and how CRI pulls, and transfers are refused in its words.
func TestTheServicesOfThePlugin(t *testing.T) {
	t.Parallel()
	for _, cri := range []string{"", status.CRIUses} {
		set := plugin.NewPluginSet()
		if cri != "" {
			fake(t, set, plugins.CRIServicePlugin, "images", struct{}{}, nil)
		}
		root, other := t.TempDir(), t.TempDir()
		if err := load(t, set, "config_path = '"+root+"'\n", "unpack_config = []\n"); err != nil {
			t.Fatal(err)
		}
		shared, err := set.Get(plugins.InternalPlugin, pluginID).Instance()
		if err != nil {
			t.Fatal(err)
		}
		for _, list := range []string{"", other} { // CRI names its own
			if s, ok := shared.(*settings); ok {
				s.hostsFor(list)
			}
		}
		service, err := set.Get(plugins.GRPCPlugin, pluginID).Instance()
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		if s, ok := service.(interface {
			Register(server *grpc.Server) error
		}); !ok || s.Register(server) != nil {
			t.Fatalf("containerd cannot serve a %T", service)
		}
		socket := filepath.Join(t.TempDir(), "sock")
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		go server.Serve(l) //nolint:errcheck // it is stopped
		t.Cleanup(server.Stop)
		conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })

		st, err := statusrpc.Get(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if st.Daemon != status.Plugin || st.CRI != cri || st.Containerd != containerd.Version || len(st.Roots) != 1 || st.Roots[0] != root {
			t.Errorf("CRI %q: the status is %+v", cri, st)
		}
		_, err = transferapi.NewTransferClient(conn).Transfer(t.Context(), &transferapi.TransferRequest{
			Source: anyOf(t, &transfertypes.OCIRegistry{Reference: "registry.test/app:1", Resolver: &transfertypes.RegistryResolver{
				HttpDebug: transfertypes.HTTPDebug_DEBUG, LogsStream: "unknown",
			}}),
		})
		if grpcstatus.Code(err) != codes.NotFound || !strings.Contains(err.Error(), "stream for debug output") {
			t.Errorf("a transfer with a stream that is not there: %v", err)
		}
	}
}

// TestMistakesAreToldAtStart by the plugin that has the section.
func TestMistakesAreToldAtStart(t *testing.T) {
	t.Parallel()
	for want, c := range map[string][2]string{
		`docker_config: "config.json" `:                   {"docker_config = 'config.json'\n", ""},
		`snapshotter "nix" not found`:                     {"", "[[unpack_config]]\nplatform = 'linux'\nsnapshotter = 'nix'\n"},
		`system_roots: "both" is neither "fallback" nor `: {"system_roots = 'both'\n", ""},
		`config_path: "relative" is not an absolute path`: {"config_path = 'relative'\n", ""},
		`platform configuration Plan 9 invalid`:           {"", "[[unpack_config]]\nplatform = 'Plan 9'\n"},
	} {
		if err := load(t, plugin.NewPluginSet(), c[0], c[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestAClientThatGoesAwayIsNotWaitedFor while it is asked for credentials.
func TestAClientThatGoesAwayIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	errGone := errors.New("gone")
	for name, leave := range map[string]func(far *memoryStream, cancel context.CancelCauseFunc){
		"the transfer ends":             func(_ *memoryStream, cancel context.CancelCauseFunc) { cancel(errGone) },
		"it closes its stream":          func(far *memoryStream, _ context.CancelCauseFunc) { _ = far.Close() },
		"it hears the question, and no": func(far *memoryStream, _ context.CancelCauseFunc) { _, _ = far.Recv(); _ = far.Close() },
	} {
		near, far := newStreamPair()
		ctx, cancel := context.WithCancelCause(t.Context())
		go leave(far, cancel)
		_, _, err := newAuthStream(near).ask(ctx, "registry.test", "registry.test/app:1")
		if err == nil || !strings.HasPrefix(err.Error(), "credentials for registry.test: ") || !errors.Is(err, errGone) && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		cancel(nil)
	}
}

// TestAnswersToAQuestionForCredentials that are of other kinds than a user's.
func TestAnswersToAQuestionForCredentials(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer         any
		user, secret   string
		says, notASaid string
	}{
		"user and password": {answer: &transfertypes.AuthResponse{AuthType: transfertypes.AuthType_CREDENTIALS, Username: "anna", Secret: "word"}, user: "anna", secret: "word"},
		"a refresh token":   {answer: &transfertypes.AuthResponse{AuthType: transfertypes.AuthType_REFRESH, Username: "anna", Secret: "token"}, secret: "token"},
		"a ready header":    {answer: &transfertypes.AuthResponse{AuthType: transfertypes.AuthType_HEADER, Secret: "Bearer x"}},
		"something else":    {answer: &transfertypes.ImageStore{Name: "hunter2"}, says: "credentials for registry.test: ", notASaid: "hunter2"},
	} {
		near, far := newStreamPair()
		go func() {
			if _, err := far.Recv(); err == nil {
				_ = far.Send(anyOf(t, tt.answer))
			}
		}()
		user, secret, err := newAuthStream(near).ask(t.Context(), "registry.test", "registry.test/app:1")
		if user != tt.user || secret != tt.secret || (err == nil) != (tt.says == "") {
			t.Errorf("%s: %q, %q, %v", name, user, secret, err)
		}
		if err != nil && (!strings.HasPrefix(err.Error(), tt.says) || strings.Contains(err.Error(), tt.notASaid)) {
			t.Errorf("%s: %v", name, err)
		}
		_ = far.Close()
	}
}
