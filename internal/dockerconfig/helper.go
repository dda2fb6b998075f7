package dockerconfig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxAnswer bounds the output of a helper: tokens of clouds have a few KiB.
const maxAnswer = 256 << 10

// killDelay is how long to read the pipes of a helper that has ended, in case a process
// that it started holds them open.
const killDelay = time.Second

// errTimeout and errTooLong are the causes for killing a helper.
var (
	errTimeout = errors.New("a helper that takes too long")
	errTooLong = errors.New("an answer that is too long")
)

// credential is the answer of a helper, shared by concurrent callers.
type credential struct {
	Username, Secret string
}

// ask asks a helper for a name. Concurrent callers with the same question share one
// answer.
func (f *File) ask(ctx context.Context, helper, name string) (user, secret string, err error) {
	if strings.Trim(helper, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return "", "", fmt.Errorf("%q cannot be the name of a credential helper: give what follows "+helperPrefix+" in the name of its program", helper)
	}
	// The helper continues for the other callers if one gives up.
	shared := context.WithoutCancel(ctx)
	answers := f.helpers.DoChan(helper+" "+name, func() (any, error) {
		return f.run(shared, helperPrefix+helper, name)
	})
	select {
	case answer := <-answers:
		c, _ := answer.Val.(credential)
		return c.Username, c.Secret, answer.Err
	case <-ctx.Done():
		return "", "", context.Cause(ctx)
	}
}

// helperPrefix begins the names of all helpers.
const helperPrefix = "docker-credential-"

// run runs a helper and returns what it answers.
func (f *File) run(ctx context.Context, program, name string) (credential, error) {
	timeout := f.HelperTimeout
	if timeout == 0 {
		timeout = DefaultHelperTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	slots := f.freeSlots()
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return credential{}, fmt.Errorf("%d credential helpers have been running for %s: find out why they hang", maxHelpers, timeout)
	}
	ctx, tooLong := context.WithCancelCause(ctx)
	defer tooLong(nil)
	out := &answer{full: func() { tooLong(errTooLong) }}
	cmd := exec.CommandContext(ctx, program, "get")
	cmd.Stdin, cmd.Stdout, cmd.WaitDelay = strings.NewReader(name), out, killDelay
	if f.Terminal != nil {
		cmd.Stderr = f.Terminal
	} else {
		ownGroup(cmd)
	}
	err := cmd.Run()
	byHand := fmt.Sprintf("try it: echo '%s' | %s get", name, program)
	switch cause := context.Cause(ctx); {
	case errors.Is(err, exec.ErrNotFound):
		return credential{}, fmt.Errorf("%s is not in the $PATH of the process that pulls: install it there, or remove it from credsStore and credHelpers", program)
	case cause == errTimeout: //nolint:errorlint // it is this very one
		return credential{}, fmt.Errorf("%s did not answer within %s and was ended: %s", program, timeout, byHand)
	case cause == errTooLong: //nolint:errorlint // it is this very one
		return credential{}, fmt.Errorf("%s wrote more than %d KiB and was ended: %s", program, maxAnswer>>10, byHand)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return out.failed(program, err, byHand)
	}
	var c credential
	if json.Unmarshal(out.data, &c) != nil {
		// The error would quote some of the answer.
		return credential{}, fmt.Errorf("the answer of %s is not JSON with Username and Secret: %s", program, byHand)
	}
	switch {
	case c.Username == tokenUser:
		c.Username = ""
	case c.Username == "" && c.Secret != "":
		return credential{}, fmt.Errorf("%s answered a secret without a user: %s", program, byHand)
	}
	return c, nil
}

// tokenUser is the user name that marks an identity token.
const tokenUser = "<token>"

func (f *File) freeSlots() chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.slots == nil {
		f.slots = make(chan struct{}, maxHelpers)
	}
	return f.slots
}

// answer collects the output of a helper, up to maxAnswer bytes.
type answer struct {
	data []byte
	full func()
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	if len(a.data)+len(p) > maxAnswer {
		a.full()
		return 0, errTooLong
	}
	a.data = append(a.data, p...)
	return len(p), nil
}

// notFound are the messages of helpers that have no credentials: those of
// github.com/docker/docker-credential-helpers, which every client recognises.
var notFound = []string{
	"credentials not found in native keychain",
	"no credentials server URL",
	"no credentials username",
}

// failed interprets the output of a helper that failed. Its standard output says why;
// output in JSON may contain the secret and is not quoted.
func (a *answer) failed(program string, err error, next string) (credential, error) {
	text := strings.TrimSpace(string(a.data))
	if slices.Contains(notFound, text) {
		return credential{}, nil
	}
	if first, _, _ := strings.Cut(text, "\n"); first != "" && !strings.ContainsAny(text, "{}") {
		return credential{}, fmt.Errorf("%s: %w: %s; %s", program, err, safetext.Line(first, 200), next)
	}
	return credential{}, fmt.Errorf("%s: %w; %s", program, err, next)
}
