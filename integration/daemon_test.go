//go:build linux

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// readyTime bounds how long a server may take until it answers. A loaded
	// machine with two cores needs a few seconds for containerd.
	readyTime = 60 * time.Second
	// stopTime is how long a server may take to end before it is killed. Apache gives
	// its children up to ten seconds.
	stopTime = 30 * time.Second
	// pollInterval is how often something that announces itself to nobody is
	// looked at: a listening port, a line in a log.
	pollInterval = 20 * time.Millisecond
)

// errEnded is for a server that ended as if all were well.
var errEnded = errors.New("exit status 0")

// daemon is a server in the foreground, a child of the test.
type daemon struct {
	name string
	cmd  *exec.Cmd
	// done is closed when the process has ended; err is then set.
	done chan struct{}
	err  error
}

// start runs a program that stays in the foreground. What it writes goes to
// NAME.log in the work directory of the script.
func (r *rig) start(name, program string, args ...string) (*daemon, error) {
	if d := r.daemons[name]; d != nil {
		return nil, fmt.Errorf("%s is running already", name)
	}
	path, err := lookPath(program)
	if err != nil {
		return nil, err
	}
	out, err := os.OpenFile(filepath.Join(r.work, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	// Servers end with the machine, not with a context.
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Dir = r.work
	cmd.Stdout, cmd.Stderr = out, out
	// A command of this binary is no machine of its own.
	cmd.Env = append(append(os.Environ(), "PATH="+searchPath(os.Getenv("PATH")), onMachine+"="), r.ways...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{name: name, cmd: cmd, done: make(chan struct{})}
	go func() {
		d.err = cmd.Wait()
		close(d.done)
	}()
	r.daemons[name] = d
	return d, nil
}

// stop ends a server and waits for it.
func (r *rig) stop(name string) error {
	d := r.daemons[name]
	if d == nil {
		return fmt.Errorf("%s is not running", name)
	}
	delete(r.daemons, name)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.done:
		return nil
	case <-time.After(stopTime):
		return errors.Join(fmt.Errorf("%s did not stop in %v", name, stopTime), d.cmd.Process.Kill())
	}
}

// stopAll kills what is still running. The machine would end it anyway; this
// keeps files from being written while the work directory is removed.
func (r *rig) stopAll() {
	for _, d := range r.daemons {
		_ = d.cmd.Process.Kill() // it may have ended
		<-d.done
	}
}

// listening waits until something listens at addr, or the server has ended.
func (d *daemon) listening(network, addr string) error {
	var dialer net.Dialer
	return d.until(func(ctx context.Context) bool {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// until polls a condition that has no event of its own. It gives up when the
// server has ended or readyTime is over.
func (d *daemon) until(ready func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !ready(ctx) {
		select {
		case <-d.done:
			return fmt.Errorf("%s ended: %w", d.name, cmp.Or(d.err, errEnded))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %v", d.name, readyTime)
		case <-tick.C:
		}
	}
	return nil
}
