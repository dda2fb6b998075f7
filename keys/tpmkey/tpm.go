// Package tpmkey signs with keys that only a TPM can use. A key file is the one
// that openssl's TPM provider, tpm2_encodeobject and others write: PEM of a "TSS2
// PRIVATE KEY". The key itself never leaves the TPM.
//
// The TPM is opened for each signature, used by one caller at a time, and given
// back: other programs of the machine need it, too.
//
// Read tpm.go first, then key.go, what certsd calls. parse.go reads a key file,
// tcti.go finds the TPM (frames.go speaks to a simulated one), session.go loads the
// key and signs, pss.go pads where the TPM pads otherwise, and next.go says what to
// do about an error.
package tpmkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// variable names the TPM for the tools of the TPM2 Software Stack, and here.
const variable = "TPM2TOOLS_TCTI"

// The bounds for a TPM. One of its own chip takes tenths of a second for a
// signature, and seconds to load a key for the first time.
const (
	defaultPatience = 5 * time.Second
	// hardLimit is how long a TPM is waited for on behalf of those to come.
	hardLimit = time.Minute
)

// TPM is a TPM of this machine. Its zero value is the one that the environment
// names, or /dev/tpmrm0. It may be used concurrently, and must not be copied after
// its first use.
type TPM struct {
	// TCTI says where it is, as in the environment variable TPM2TOOLS_TCTI:
	// "device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321". Empty: what that
	// says.
	TCTI string
	// Patience is how long a signature may take, the wait for those before it
	// included. Zero is five seconds: a handshake has ten.
	Patience time.Duration

	once sync.Once
	// turn has an element while the TPM is in use.
	turn chan struct{}
}

// name returns where the TPM is.
func (t *TPM) name() string {
	name := cmp.Or(t.TCTI, os.Getenv(variable))
	if name == "" {
		return defaultDevice
	}
	return name
}

func (t *TPM) patience() time.Duration { return cmp.Or(t.Patience, defaultPatience) }

// errSlow reports that a TPM did not answer in time.
var errSlow = errors.New("it does not answer")

// do lets work speak to the TPM, when it is free. Whoever waits longer than the
// patience gets an error: the work that has begun goes on, so that what it learnt is
// there for the next.
func (t *TPM) do(work func(*session) error) error {
	t.once.Do(func() { t.turn = make(chan struct{}, 1) })
	ctx, cancel := context.WithTimeout(context.Background(), t.patience())
	defer cancel()
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w: the previous command was not answered within %s", errSlow, t.patience())
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-t.turn }()
		t.open(work, done)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w within %s", errSlow, t.patience())
	}
}

// open connects to the TPM for some work. What came of it is told before the TPM is
// tidied up.
func (t *TPM) open(work func(*session) error, done chan<- error) {
	where, err := parseTCTI(t.name())
	if err != nil {
		done <- err
		return
	}
	deadline := time.Now().Add(hardLimit)
	conn, err := where.open(deadline)
	if err != nil {
		done <- withNext(err)
		return
	}
	s := &session{tpm: patient{conn, deadline}}
	done <- withNext(work(s))
	for _, handle := range s.left {
		s.flush(handle)
	}
	_ = conn.Close()
}
