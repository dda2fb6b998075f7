package statusrpc_test

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/certsd/containerd-certsd/internal/status"
	"github.com/certsd/containerd-certsd/internal/statusrpc"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts a server and returns a connection to it.
func serve(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	server := grpc.NewServer()
	register(server)
	go server.Serve(l) //nolint:errcheck // it is stopped
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestStatusComesThroughWhole(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 27, 8, 0, 0, 123, time.UTC)
	want := &status.Status{
		Schema: 1, Daemon: status.Plugin, Version: "v1", Since: at, Now: at.Add(time.Hour), Roots: []string{"/a"},
		Needs: []status.Need{}, Servers: []status.Server{{Host: "reg.test", Seen: &at, Refusals: map[string]int{"403": 7}}},
		Registries: []status.Registry{{
			Name: "reg.test", Memory: &status.Memory{Since: at, Cause: "broken"},
			Endpoints: []status.Endpoint{{URL: "https://reg.test/v2", Host: "reg.test", Identities: []status.Identity{{
				Name: "a.cert", File: "/a/a.cert", Presented: true, Answer: &status.Answer{Result: "200", At: at}, Accepted: &at,
				Certificate: &status.Certificate{Subject: "CN=a", Serial: "0A", NotBefore: at, NotAfter: at.AddDate(1, 0, 0)},
			}}}},
		}},
		Work: []status.Work{{Kind: "download", Ref: "reg.test/app:1", Since: at, Bytes: 5 << 40, Total: 1<<53 - 1}},
	}
	got, err := statusrpc.Get(t.Context(), serve(t, func(s *grpc.Server) { statusrpc.Register(s, func() *status.Status { return want }) }))
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStockIsUnimplemented(t *testing.T) {
	t.Parallel()
	if _, err := statusrpc.Get(t.Context(), serve(t, func(*grpc.Server) {})); grpcstatus.Code(err) != codes.Unimplemented {
		t.Errorf("got %v", err)
	}
}

// TestProtoIsOfTheService holds the file that others generate clients from to what
// is served.
func TestProtoIsOfTheService(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("status.proto")
	must(t, err)
	find := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		if m == nil {
			t.Fatalf("status.proto has no %s", pattern)
		}
		return string(m[1])
	}
	if name := find(`(?m)^package ([\w.]+);`) + "." + find(`(?m)^service (\w+) {`); name != statusrpc.Service {
		t.Errorf("the service is %s", name)
	}
	if method := "/" + statusrpc.Service + "/" + find(`(?m)^  rpc (\w+)\(google.protobuf.Empty\) returns \(google.protobuf.Struct\);`); method != statusrpc.Method {
		t.Errorf("the method is %s", method)
	}
}
