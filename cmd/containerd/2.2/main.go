// Command containerd is containerd 2.2 with the certsd plugin compiled in.
package main

import (
	"fmt"
	"os"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
	"github.com/containerd/containerd/v2/cmd/containerd/command"

	"github.com/certsd/containerd-certsd/internal/quiet"
	_ "github.com/certsd/containerd-certsd/plugin"
)

func main() {
	quiet.Without(quiet.ConfigVersion)
	if err := command.App().Run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
		os.Exit(1)
	}
}
