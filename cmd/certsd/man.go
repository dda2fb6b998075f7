package main

import (
	"context"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/clidoc"
)

// manDate is the day on which a command or flag last changed. It is fixed here so that
// the same source yields the same page.
const manDate = "2026-11-27"

// manual has the sections of the manual page besides the commands.
var manual = clidoc.Manual{Date: manDate, Sections: []clidoc.Section{
	{Title: "EXIT STATUS", Text: `0  done; for check: a pull would work

1  failed: the registry refused, or the network failed

2  wrong usage, or an unusable configuration`},
	{Title: "ENVIRONMENT", Text: `XDG_CONFIG_HOME: for users other than root, certsd first searches containerd/certs.d and docker/certs.d below it; ~/.config if unset.

XDG_STATE_HOME: for users other than root, the gateway keeps its secret and converted images in certsd/gateway below it; ~/.local/state if unset.

XDG_CACHE_HOME: without --cache, copy converts images in certsd/copy below it; ~/.cache if unset.

SSL_CERT_FILE, SSL_CERT_DIR: a file, and directories separated by colons, that replace the system's CA roots.

DOCKER_CONFIG: the directory of config.json, with credentials and the names of credential helpers; ~/.docker if unset.

HTTPS_PROXY, HTTP_PROXY, NO_PROXY: the proxy to use, as in other programs.

LISTEN_FDS, LISTEN_PID, NOTIFY_SOCKET: set by systemd for the gateway.`},
	{Title: "FILES", Text: `/etc/containerd/certs.d/HOST:PORT/ and /etc/docker/certs.d/HOST:PORT/, also HOST_PORT_ and, for the default port, HOST:

    *.crt                     CA roots; without one, the system's count
    NAME.cert with NAME.key   client certificates, presented in alphabetical order
    hosts.toml                containerd's host configuration

_default in place of HOST serves registries without a directory.`},
	{Title: "SEE ALSO", Text: `containerd(8), ctr(8), skopeo(1), openssl-x509(1)

The documents of containerd-certsd:

` + documentList()},
}}

// documents are the files in docs, without suffix.
var documents = []string{
	"README", "architecture", "certsd", "check", "configuration", "containerd", "gateway", "gateway-clients", "gateway-running",
	"install", "kubernetes", "migrate", "moving", "operations", "pull", "registry-v1", "releasing", "rooms", "scale", "security", "status", "to-the-plugin", "upstream", "ways",
}

func documentList() string {
	var list strings.Builder
	for _, name := range documents {
		list.WriteString("    https://github.com/certsd/containerd-certsd/blob/main/docs/" + name + ".md\n")
	}
	return strings.TrimSuffix(list.String(), "\n")
}

// manCommand prints the manual page, for "make man" and "make install".
func manCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name: "man", Hidden: true, OnUsageError: usage,
		Usage: "print the manual page",
		Action: func(_ context.Context, c *cli.Command) error {
			return manual.WriteTo(stdout, c.Root())
		},
	}
}
