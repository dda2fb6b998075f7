// Package tpmtest starts simulated TPMs for tests, and creates keys in them.
package tpmtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// TPM is a simulated TPM: a process of swtpm.
type TPM struct {
	// TCTI is its address in the form of TPM2TOOLS_TCTI, Socket the path of its socket.
	TCTI, Socket string

	t    testing.TB
	dir  string
	stop func()
}

// Start starts a TPM that runs until the test ends. Without swtpm the test is skipped,
// or fails in CI.
func Start(t testing.TB) *TPM {
	t.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		citest.Missing(t, "swtpm is not installed")
	}
	// The path of a socket is limited to about a hundred bytes.
	dir, err := os.MkdirTemp("", "tpm") //nolint:usetesting // that one is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &TPM{t: t, dir: dir, Socket: filepath.Join(dir, "tpm")}
	s.TCTI = "swtpm:path=" + s.Socket
	s.Run()
	t.Cleanup(s.Stop)
	return s
}

// Run starts the TPM, also again after [TPM.Stop].
func (s *TPM) Run() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	//nolint:gosec // the directory is our own
	cmd := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+s.dir,
		"--server", "type=unixio,path="+s.Socket, "--flags", "not-need-init,startup-clear", "--log", "level=1,file="+filepath.Join(s.dir, "log"))
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, bufio.NewReader(out))
		_ = cmd.Wait()
	}()
	s.stop = func() {
		cancel()
		<-ended
	}
	s.await(ended)
}

// await waits until the TPM answers.
func (s *TPM) await(ended chan struct{}) {
	s.t.Helper()
	for {
		select {
		case <-ended:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("swtpm ended: %s", log)
		default:
		}
		c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", s.Socket)
		if err == nil {
			_ = c.Close()
			return
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.As(err, new(*net.OpError)) {
			s.t.Fatal(err)
		}
	}
}

// Stop ends the TPM. Its keys are kept.
func (s *TPM) Stop() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

// Counted returns another address of the TPM, and a function that returns how many
// signatures, or commands of the given kinds, were made through it.
func (s *TPM) Counted(command ...tpm2.TPMCC) (tcti string, count func() int) {
	s.t.Helper()
	path := s.Socket + ".counted"
	listener, err := (&net.ListenConfig{}).Listen(s.t.Context(), "unix", path)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(command) == 0 {
		command = []tpm2.TPMCC{tpm2.TPMCCSign}
	}
	var n atomic.Int64
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			relays.Go(func() {
				defer client.Close()
				s.relay(client, command, &n)
			})
		}
	})
	s.t.Cleanup(func() {
		_ = listener.Close()
		relays.Wait()
	})
	return "swtpm:path=" + path, func() int { return int(n.Load()) }
}

// relay forwards commands and answers, and counts the commands that succeeded. A TPM
// that must test itself first says so, and is asked again.
func (s *TPM) relay(client net.Conn, counted []tpm2.TPMCC, n *atomic.Int64) {
	tpm, err := s.dial()
	if err != nil {
		return
	}
	defer tpm.Close()
	for {
		command, code, err := message(client)
		if err != nil {
			return
		}
		if _, err := tpm.Write(command); err != nil {
			return
		}
		answer, result, err := message(tpm)
		if err != nil {
			return
		}
		if slices.Contains(counted, tpm2.TPMCC(code)) && result == 0 {
			n.Add(1)
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// message reads a command with its code, or an answer with its result code.
func message(from io.Reader) (whole []byte, code uint32, err error) {
	header := make([]byte, 10)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, 0, err
	}
	whole = make([]byte, max(10, min(binary.BigEndian.Uint32(header[2:]), 8<<10)))
	copy(whole, header)
	_, err = io.ReadFull(from, whole[10:])
	return whole, binary.BigEndian.Uint32(header[6:]), err
}

// Do calls a function with a connection to the TPM.
func (s *TPM) Do(work func(transport.TPM)) {
	s.t.Helper()
	c, err := s.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	work(transport.FromReadWriter(c))
}

// dial connects, and retries while the socket's short queue is full.
func (s *TPM) dial() (net.Conn, error) {
	for {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "unix", s.Socket)
		if !errors.Is(err, syscall.EAGAIN) || s.t.Context().Err() != nil {
			return c, err
		}
		time.Sleep(time.Millisecond)
	}
}

// Options describes a key to create. The zero value is an ECDSA key on P-256 below the
// owner's usual parent, without a password.
type Options struct {
	// RSA makes an RSA key of 2048 bits, P384 an ECDSA key on that curve.
	RSA, P384 bool
	// Persistent stores the parent at a handle. RSAParent makes the parent an RSA key.
	Persistent tpm2.TPMHandle
	RSAParent  bool
	// Password and Policy protect the key.
	Password string
	Policy   []byte
	// SignOnly makes a key that cannot decrypt, Bound one that signs only with PKCS #1
	// or ECDSA and SHA-256.
	SignOnly, Bound bool
	// Unsaid omits from the file that the key has no password.
	Unsaid bool
	// Importable creates the key outside of the TPM, and wraps it for the parent.
	Importable bool
}

// Key creates a key, and returns its file and its public part.
func (s *TPM) Key(o Options) (file []byte, public crypto.PublicKey) {
	s.t.Helper()
	must := func(err error) {
		if err != nil {
			s.t.Helper()
			s.t.Fatal(err)
		}
	}
	s.Do(func(tpm transport.TPM) {
		template := keyfile.ECCSRK_H2_Template
		if o.RSAParent {
			template = tpm2.RSASRKTemplate
			template.Unique = tpm2.NewTPMUPublicID(tpm2.TPMAlgRSA, &tpm2.TPM2BPublicKeyRSA{})
		}
		primary, err := tpm2.CreatePrimary{
			PrimaryHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)}, InPublic: tpm2.New2B(template),
		}.Execute(tpm)
		must(err)
		parent := tpm2.TPMRHOwner
		if o.Persistent != 0 {
			parent = o.Persistent
			_, err = tpm2.EvictControl{
				Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
				ObjectHandle:     &tpm2.NamedHandle{Handle: primary.ObjectHandle, Name: primary.Name},
				PersistentHandle: parent,
			}.Execute(tpm)
			must(err)
		}
		var key *keyfile.TPMKey
		if o.Importable {
			around, err := primary.OutPublic.Contents()
			must(err)
			key, err = o.wrapped(around, parent)
			must(err)
		} else {
			created, err := tpm2.Create{
				ParentHandle: tpm2.AuthHandle{Handle: primary.ObjectHandle, Name: primary.Name, Auth: tpm2.PasswordAuth(nil)},
				InPublic:     tpm2.New2B(o.template()),
				InSensitive:  tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{UserAuth: tpm2.TPM2BAuth{Buffer: []byte(o.Password)}}},
			}.Execute(tpm)
			must(err)
			key = keyfile.NewTPMKey(keyfile.OIDLoadableKey, created.OutPublic, created.OutPrivate, keyfile.WithParent(parent))
		}
		_, err = tpm2.FlushContext{FlushHandle: primary.ObjectHandle}.Execute(tpm)
		must(err)
		key.EmptyAuth = o.Password == "" && !o.Unsaid
		var b bytes.Buffer
		must(keyfile.Encode(&b, key))
		file = b.Bytes()
		contents, err := key.Pubkey.Contents()
		must(err)
		public, err = tpm2.Pub(*contents)
		must(err)
	})
	return file, public
}

// wrapped returns a key made in memory and wrapped for a TPM with the parent.
func (o Options) wrapped(parent *tpm2.TPMTPublic, handle tpm2.TPMHandle) (*keyfile.TPMKey, error) {
	with := []keyfile.TPMKeyOption{keyfile.WithParent(handle), keyfile.WithUserAuth([]byte(o.Password))}
	if o.RSA {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, err
		}
		return keyfile.NewImportablekey(parent, *key, with...)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return keyfile.NewImportablekey(parent, *key, with...)
}

func (o Options) template() tpm2.TPMTPublic {
	p := tpm2.TPMTPublic{
		Type: tpm2.TPMAlgECC, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{
			FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: len(o.Policy) == 0, SignEncrypt: true, Decrypt: !o.SignOnly,
		},
		AuthPolicy: tpm2.TPM2BDigest{Buffer: o.Policy},
	}
	if o.RSA {
		scheme := tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgNull}
		if o.Bound {
			hash := &tpm2.TPMSSigSchemeRSASSA{HashAlg: tpm2.TPMAlgSHA256}
			scheme = tpm2.TPMTRSAScheme{Scheme: tpm2.TPMAlgRSASSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgRSASSA, hash)}
		}
		p.Type = tpm2.TPMAlgRSA
		p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgRSA, &tpm2.TPMSRSAParms{Scheme: scheme, KeyBits: 2048})
		return p
	}
	curve := tpm2.TPMECCNistP256
	if o.P384 {
		curve = tpm2.TPMECCNistP384
	}
	scheme := tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgNull}
	if o.Bound {
		hash := &tpm2.TPMSSigSchemeECDSA{HashAlg: tpm2.TPMAlgSHA256}
		scheme = tpm2.TPMTECCScheme{Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUAsymScheme(tpm2.TPMAlgECDSA, hash)}
	}
	p.Parameters = tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: curve, Scheme: scheme})
	return p
}

// WithoutPassword returns the key file with the statement that the key has no password.
func (s *TPM) WithoutPassword(file []byte) []byte {
	s.t.Helper()
	key, err := keyfile.Decode(file)
	if err != nil {
		s.t.Fatal(err)
	}
	key.EmptyAuth = true
	return key.Bytes()
}
