package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"github.com/urfave/cli/v3"
)

// TestAsRoot: the command that root is to run is the one that was typed.
func TestAsRoot(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"migrate":         "sudo certsd migrate",
		"migrate --write": "sudo certsd migrate --write",
		"migrate --config a.toml --config /b/daemon.json --output=/o|x": "sudo certsd migrate --config a.toml --config /b/daemon.json --output '/o x'",
		"migrate --root /a:/b --write=false":                            "sudo certsd migrate --root /a:/b",
	} {
		root := command(io.Discard, io.Discard)
		for _, sub := range root.Commands {
			sub.Action = func(_ context.Context, c *cli.Command) error {
				if got := asRoot(1000, c.Name, c); got != want {
					t.Errorf("%s: %q, want %q", line, got, want)
				}
				if got := asRoot(0, c.Name, c); got != "" {
					t.Errorf("%s: root is sent to root: %q", line, got)
				}
				return nil
			}
		}
		if err := root.Run(t.Context(), words("certsd "+line)); err != nil {
			t.Error(err)
		}
	}
	denied := fmt.Errorf("cannot write /o: %w", fs.ErrPermission)
	if got := withRoot(denied, "sudo x").Error(); got != "cannot write /o: permission denied: run it as root: sudo x" {
		t.Errorf("%q", got)
	}
	for _, err := range []error{withRoot(nil, "sudo x"), withRoot(denied, ""), withRoot(errors.New("no space"), "sudo x")} {
		if err != nil && err.Error() != "no space" && !errors.Is(err, denied) || err != nil && len(err.Error()) > len(denied.Error()) {
			t.Errorf("%v", err)
		}
	}
}
