// Package tpmkey signs with keys that only a TPM can use. A key file is the one
// that openssl's TPM provider, tpm2_encodeobject and others write: PEM of a "TSS2
// PRIVATE KEY". The key itself never leaves the TPM.
//
// The TPM is opened for each signature, used by one caller at a time, and closed:
// other programs of the machine need it, too.
//
// Read tpm.go first, then key.go, what certsd calls. parse.go reads a key file,
// tcti.go finds the TPM (frames.go speaks to a simulated one), session.go loads the
// key and signs, pss.go pads where the TPM pads otherwise, and next.go says what to
// do about errors.
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

// variable is the environment variable that names the TPM, as for the tools of the
// TPM2 Software Stack.
const variable = "TPM2TOOLS_TCTI"

// Limits for a TPM. A discrete one takes tenths of a second for a signature, and
// seconds to load a key for the first time.
const (
	defaultPatience = 5 * time.Second
	// hardLimit bounds work that outlasts its caller's patience, for the sake of
	// later callers.
	hardLimit = time.Minute
)

// TPM is a TPM of this machine. Its zero value is the one that the environment names,
// or /dev/tpmrm0. It may be used concurrently, and must not be copied after its first
// use.
type TPM struct {
	// TCTI locates the TPM as the environment variable TPM2TOOLS_TCTI does:
	// "device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321". Empty means that
	// variable's value.
	TCTI string
	// Patience bounds a signature, including the wait for those before it. Zero means
	// five seconds: a handshake has ten.
	Patience time.Duration

	once sync.Once
	// turn holds an element while the TPM is in use.
	turn chan struct{}
}

// name returns the TPM's TCTI.
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

// do runs work with the TPM when it is free. It fails if that takes longer than the
// patience, but lets work it has begun continue: the next caller profits from what
// that learns.
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

// open connects to the TPM and runs work. It sends the result before it tidies up.
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
