//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/rogpeppe/go-internal/testscript"
)

// front is a server that speaks TLS and judges client certificates, in front
// of docker-registry or of a static tree. The templates of its configuration
// are in testdata.
type front struct {
	// Name is the host it serves, a name of the machine's /etc/hosts.
	Name string
	// Addr is the address of Name, where it listens on port 443.
	Addr string
	// Dir is the script's work directory.
	Dir string
	// Verify is how it asks for certificates: the value of ssl_verify_client
	// or SSLVerifyClient.
	Verify string
	// Allow are the common names let in. Empty: everybody.
	Allow []string
	// Deny is the status that all others get.
	Deny string
	// Upstream is what it passes requests on to.
	Upstream string
	// Root and CGI are directories of files and of programs to serve instead.
	Root, CGI string
	// Include is a file of further directives.
	Include string
	// Cert, Key and Clients are files: its certificate, and the authority of
	// the clients.
	Cert, Key, Clients string
}

// parseFront reads the arguments of nginx and apache: NAME KEY=VALUE...
func (r *rig) parseFront(ts *testscript.TestScript, args []string) *front {
	if len(args) == 0 {
		ts.Fatalf("the name of the host is missing")
	}
	f := &front{
		Name:     args[0],
		Dir:      r.work,
		Verify:   "optional",
		Deny:     "403",
		Upstream: registryAddr,
	}
	for _, arg := range args[1:] {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			ts.Fatalf("%q is not KEY=VALUE", arg)
		}
		switch key {
		case "verify":
			f.Verify = value
		case "allow":
			f.Allow = strings.Split(value, ",")
		case "deny":
			f.Deny = value
		case "upstream":
			f.Upstream = value
		case "root":
			f.Root = ts.MkAbs(value)
		case "cgi":
			f.CGI = ts.MkAbs(value)
		case "include":
			f.Include = ts.MkAbs(value)
		case "pair":
			f.Cert, f.Key = ts.MkAbs(value)+".cert", ts.MkAbs(value)+".key"
		default:
			ts.Fatalf("unknown key %q", key)
		}
	}
	addrs, err := net.DefaultResolver.LookupHost(context.Background(), f.Name)
	ts.Check(err)
	f.Addr = addrs[0]
	return f
}

// configure writes the configuration of f from a template of testdata and
// returns its file.
func (r *rig) configure(f *front, tmpl string) (string, error) {
	var err error
	if f.Cert == "" {
		if f.Cert, f.Key, err = r.serverPair(f.Name); err != nil {
			return "", err
		}
	}
	if f.Clients, err = r.clientCA(); err != nil {
		return "", err
	}
	if r.logs[f.Name] == nil {
		r.logs[f.Name] = &accessLog{host: f.Name, file: filepath.Join(r.work, f.Name+".access")}
	}
	t, err := template.ParseFiles(filepath.Join("testdata", tmpl))
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := t.Execute(&text, f); err != nil {
		return "", err
	}
	return r.write(f.Name+"."+strings.TrimSuffix(tmpl, ".tmpl"), text.String())
}

// serve starts the server program for f and waits until it listens.
func (r *rig) serve(f *front, program string, args ...string) error {
	if err := os.MkdirAll(filepath.Join(r.work, f.Name+".run"), 0o755); err != nil {
		return err
	}
	d, err := r.start(f.Name, program, args...)
	if err != nil {
		return err
	}
	if err := d.listening("tcp", net.JoinHostPort(f.Addr, "443")); err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	return nil
}
