package signer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// process is a running helper.
type process struct {
	cmd    *exec.Cmd
	client *rpc.Client
	stderr *tail
	// ended is closed when the process has ended.
	ended chan struct{}
	// public is the helper's key, nil if it does not say.
	public crypto.PublicKey
	// pin is masked in the helper's messages.
	pin string
	// proven holds the manners in which a signature has been verified.
	proven sync.Map
}

// configArg is the path of its configuration that a helper receives: a pipe, which
// keeps the PIN off any disk.
const configArg = "/dev/fd/3"

// pipes are a helper's standard input and output.
type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

// Close implements io.Closer.
func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close()) }

// hasConfig reports whether a command names a configuration file of its own.
func hasConfig(command []string) bool {
	return len(command) > 1 && filepath.Ext(command[len(command)-1]) == ".json"
}

// start starts a helper and writes its configuration to it.
func start(command []string, config []byte, pin string) (*process, error) {
	name, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("the helper cannot be started: %w", err)
	}
	args := command[1:]
	var read, write *os.File
	if !hasConfig(command) {
		if read, write, err = os.Pipe(); err != nil {
			return nil, err
		}
		defer read.Close()
		defer write.Close()
		args = append(append([]string(nil), args...), configArg)
	}
	p := &process{cmd: exec.Command(name, args...), stderr: new(tail), ended: make(chan struct{}), pin: pin} //nolint:gosec,noctx // the administrator's command; it lives as long as it is needed
	p.cmd.Stderr, p.cmd.WaitDelay = p.stderr, time.Second
	p.cmd.SysProcAttr = ownGroup()
	if read != nil {
		p.cmd.ExtraFiles = []*os.File{read}
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe, which Wait would close under the reader.
	out, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.cmd.Stdout = outWrite
	err = p.cmd.Start()
	_ = outWrite.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the helper cannot be started: %w", err), out.Close())
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	noCore(p.cmd.Process.Pid)
	p.client = rpc.NewClientWithCodec(newCodec(pipes{out, in}))
	if write != nil {
		// The configuration fits into the pipe; the caller finds out if the helper
		// has ended.
		_, _ = write.Write(config)
	}
	return p, nil
}

// call makes a call and waits at most patience for the answer.
func (p *process) call(method string, args, reply any, patience time.Duration) error {
	call := p.client.Go(method, args, reply, make(chan *rpc.Call, 1))
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-call.Done:
		return call.Error
	case <-timer.C:
		return errSlow
	}
}

// identify asks for the public key. A helper that answers with an error is used
// without knowing it.
func (p *process) identify(patience time.Duration) error {
	var der []byte
	err := p.call(callPublic, struct{}{}, &der, patience)
	if err == nil {
		// If it cannot be parsed, the first signature shows whether the key is right.
		p.public, _ = x509.ParsePKIXPublicKey(der)
		return nil
	}
	var said rpc.ServerError
	if errors.As(err, &said) {
		return nil
	}
	return err
}

// close stops the helper by closing its input, and kills it if that does not help.
func (p *process) close() {
	_ = p.client.Close()
	select {
	case <-p.ended:
		return
	case <-time.After(closing):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// closing is how long a helper may take to end.
const closing = time.Second

// last returns the helper's last message, without the PIN.
func (p *process) last() string {
	select {
	case <-p.ended:
	case <-time.After(100 * time.Millisecond):
	}
	text := p.clean(p.stderr.String())
	if text == "" {
		return "it said nothing"
	}
	return "it said: " + text
}

// clean returns a text from the helper in a form fit for display.
func (p *process) clean(text string) string {
	return safetext.Line(hidden(strings.TrimSpace(text), p.pin), 300)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const maxTail = 4096

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - maxTail; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// String returns the last line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(t.buf.String())
	return text[strings.LastIndexByte(text, '\n')+1:]
}
