package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// asRoot returns a command as it was typed, with its flags, for root to run; empty if
// the user is root.
func asRoot(euid int, name string, c *cli.Command) string {
	if euid == 0 {
		return ""
	}
	words := []string{"sudo", "certsd", name}
	for _, flag := range c.Flags {
		if long := flag.Names()[0]; flag.IsSet() {
			switch value := c.Value(long).(type) {
			case bool:
				if value {
					words = append(words, "--"+long)
				}
			case []string:
				for _, v := range value {
					words = append(words, "--"+long, plainfile.Quote(v))
				}
			default:
				words = append(words, "--"+long, plainfile.Quote(fmt.Sprint(value)))
			}
		}
	}
	for _, arg := range c.Args().Slice() {
		words = append(words, plainfile.Quote(arg))
	}
	return strings.Join(words, " ")
}

// withRoot adds the command for root to an error about missing permission.
func withRoot(err error, command string) error {
	if err == nil || command == "" || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: run it as root: %s", err, command)
}
