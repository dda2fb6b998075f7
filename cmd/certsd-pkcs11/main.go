// Command certsd-pkcs11 signs with a key in a PKCS #11 token, for certsd, for
// containerd with its plugin, and for any program that speaks the protocol of Google's
// enterprise-certificate-proxy. They start it with a configuration file as its
// argument, and it ends when its standard input does.
//
// It is a separate program because the libraries of tokens are written in C.
//
// Read main.go first, then service.go, the calls it answers. key.go opens a session
// with the token, find.go finds the key in it, public.go reads its public half, and
// sign.go signs.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
	"github.com/certsd/containerd-certsd/keys/signer"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "certsd-pkcs11:", err)
		os.Exit(1)
	}
}

// maxConfig bounds the configuration in bytes.
const maxConfig = 64 << 10

func run(args []string) error {
	if len(args) != 1 {
		return errors.New(`it is started by the programs that need it: name it in their settings, signer = ["certsd-pkcs11"]`)
	}
	file, err := os.Open(args[0]) //nolint:gosec // whoever starts it says so
	if err != nil {
		return err
	}
	// From here on the process knows a PIN: keep it out of core dumps and away from
	// other processes.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	config, err := readConfig(file)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	if err := file.Close(); err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName(signer.Service, &service{key: config}); err != nil {
		return err
	}
	server.ServeConn(stdio{&watched{input(), func() { os.Exit(1) }}, os.Stdout})
	return config.close()
}

// input returns standard input, read through the runtime's poller: a thread blocked in
// a read would have to wake another one to handle each request.
func input() io.ReadCloser {
	if err := unix.SetNonblock(unix.Stdin, true); err != nil {
		return os.Stdin // slower, but it works
	}
	return os.NewFile(uintptr(unix.Stdin), "standard input")
}

// grace is how long a token may take once nobody waits for it.
const grace = time.Second

// watched is an input whose end also ends the process: its parent is gone, and an
// unresponsive token would keep it running with the PIN in memory.
type watched struct {
	io.ReadCloser
	end func()
}

// Read implements io.Reader.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if err != nil {
		time.AfterFunc(grace, w.end)
	}
	return n, err
}

// stdio is the connection to the parent process.
type stdio struct {
	io.ReadCloser
	io.WriteCloser
}

// Close implements io.Closer.
func (s stdio) Close() error { return errors.Join(s.ReadCloser.Close(), s.WriteCloser.Close()) }

// readConfig reads which key to use. Configurations of the protocol's other clients
// have no URI.
func readConfig(r io.Reader) (*key, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxConfig))
	if err != nil {
		return nil, err
	}
	var config signer.Config
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, errors.New("it is not the configuration of a signer, which is JSON with cert_configs.pkcs11")
	}
	p := config.CertConfigs.PKCS11
	if p.Module == "" {
		return nil, errors.New("it does not name a module: cert_configs.pkcs11.module")
	}
	k := &key{module: p.Module, pin: p.UserPIN}
	if config.Certsd.URI != "" {
		if k.uri, err = pkcs11uri.Parse([]byte(config.Certsd.URI)); err != nil {
			return nil, err
		}
		return k, nil
	}
	k.uri = &pkcs11uri.URI{Object: p.Label}
	if p.Slot != "" {
		var slot uint64
		if _, err := fmt.Sscanf(p.Slot, "0x%x", &slot); err != nil {
			return nil, errors.New("cert_configs.pkcs11.slot is not a hexadecimal number")
		}
		k.uri.SlotID = &slot
	}
	return k, nil
}
