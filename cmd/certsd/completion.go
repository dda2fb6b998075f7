package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/clidoc"
)

// completionCommand prints the completion scripts of shells and answers them. The
// library's own splits words at colons, which precede ports.
func completionCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that lets a shell complete commands, flags and registries",
		ArgsUsage: "bash|zsh|fish",
		Description: "It completes registries that have a directory, and contacts no server.\n\n" +
			"   source <(certsd completion bash)                  # in ~/.bashrc\n" +
			"   source <(certsd completion zsh)                   # in ~/.zshrc, after compinit\n" +
			"   certsd completion fish >~/.config/fish/completions/certsd.fish",
		OnUsageError: usage,
		Commands: []*cli.Command{{
			Name: "words", Hidden: true, SkipFlagParsing: true,
			Action: func(_ context.Context, c *cli.Command) error {
				words := c.Args().Slice()
				if len(words) > 0 && words[0] == "--" {
					words = words[1:]
				}
				return completeWords(stdout, c.Root(), words)
			},
		}},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return &usageError{errors.New("completion takes the name of a shell: bash, zsh or fish")}
			}
			script, err := clidoc.Script(c.Args().First())
			if err != nil {
				return &usageError{err}
			}
			_, err = io.WriteString(stdout, script)
			return err
		},
	}
}

// completeWords prints the completions of the last word: WORD TAB USAGE.
func completeWords(stdout io.Writer, root *cli.Command, words []string) error {
	completer := &clidoc.Completer{Root: root, Arguments: map[string]func(map[string]string) []string{"check": registryNames}}
	for _, w := range completer.Complete(words) {
		line := w.Text
		if w.Usage != "" {
			line += "\t" + w.Usage
		}
		if _, err := fmt.Fprintln(stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// registryNames returns the registries with a directory. It only lists the roots.
func registryNames(flags map[string]string) []string {
	f := hostFlags{root: flags["root"]}
	names, err := (&certsd.Hosts{Roots: f.roots()}).Names()
	if err != nil {
		// Offer what could be listed: nobody reads errors here.
		return names
	}
	return names
}
