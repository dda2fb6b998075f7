// Command svid has both sides of SPIFFE's Workload API for a scenario.
//
//	svid serve SOCKET BASE   gives out BASE.cert with BASE.key, and the CA BASE.crt, as an agent does,
//	                         and again whenever they change
//	svid write CONFIG        writes what it is given where a configuration of spiffe-helper says, in
//	                         its order and in place, as that does
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
)

func main() {
	err := errors.New("usage: svid serve SOCKET BASE, or svid write CONFIG")
	switch {
	case len(os.Args) == 4 && os.Args[1] == "serve":
		err = serve(os.Args[2], agent{base: os.Args[3]})
	case len(os.Args) == 3 && os.Args[1] == "write":
		err = write(os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "svid:", err)
		os.Exit(1)
	}
}

// agent is the server's side.
type agent struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	base string
}

func serve(socket string, a agent) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil { //nolint:gosec // a scenario says where
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	workload.RegisterSpiffeWorkloadAPIServer(server, a)
	return server.Serve(listener)
}

// FetchX509SVID implements the Workload API.
func (a agent) FetchX509SVID(_ *workload.X509SVIDRequest, stream grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last []byte
	for {
		svid, err := a.svid()
		if err == nil && !bytes.Equal(svid.GetX509Svid(), last) {
			last = svid.GetX509Svid()
			if err := stream.Send(&workload.X509SVIDResponse{Svids: []*workload.X509SVID{svid}}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// svid is what the files have. They are written one after the other: until they belong
// together they are none.
func (a agent) svid() (*workload.X509SVID, error) {
	pair, err := tls.LoadX509KeyPair(a.base+".cert", a.base+".key")
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(a.base + ".crt")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(ca)
	if block == nil {
		return nil, errors.New("no CA")
	}
	return &workload.X509SVID{SpiffeId: "spiffe://example.org/node", X509Svid: bytes.Join(pair.Certificate, nil), X509SvidKey: key, Bundle: block.Bytes}, nil
}

// files are those that a configuration names.
type files struct{ cert, key, bundle string }

func write(path string) error {
	text, err := os.ReadFile(path) //nolint:gosec // a scenario says which
	if err != nil {
		return err
	}
	is := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^\s*(\w+)\s*=\s*"(.*)"\s*$`).FindAllSubmatch(text, -1) {
		is[string(line[1])] = string(line[2])
	}
	dir := is["cert_dir"]
	to := files{filepath.Join(dir, is["svid_file_name"]), filepath.Join(dir, is["svid_key_file_name"]), filepath.Join(dir, is["svid_bundle_file_name"])}
	return workloadapi.WatchX509Context(context.Background(), to, workloadapi.WithAddr("unix://"+is["agent_address"]))
}

// OnX509ContextUpdate implements workloadapi.X509ContextWatcher.
func (f files) OnX509ContextUpdate(c *workloadapi.X509Context) {
	svid := c.DefaultSVID()
	cert, key, err := svid.Marshal()
	bundle, found := c.Bundles.Get(svid.ID.TrustDomain())
	if err != nil || !found {
		f.OnX509ContextWatchError(errors.Join(err, errors.New("no bundle")))
		return
	}
	authorities, err := bundle.Marshal()
	if err := errors.Join(err, os.WriteFile(f.cert, cert, 0o644), os.WriteFile(f.key, key, 0o600), os.WriteFile(f.bundle, authorities, 0o644)); err != nil {
		f.OnX509ContextWatchError(err)
		return
	}
	fmt.Fprintln(os.Stderr, "svid: written")
}

// OnX509ContextWatchError implements workloadapi.X509ContextWatcher.
func (files) OnX509ContextWatchError(err error) { fmt.Fprintln(os.Stderr, "svid:", err) }
