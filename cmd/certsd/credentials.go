package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/containerd/log"

	"github.com/certsd/containerd-certsd/gateway"
	"github.com/certsd/containerd-certsd/internal/dockerconfig"
	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/telemetry"
)

// dockerCredentials returns the logins in Docker's config.json, credential helpers
// included. A helper is only asked when a registry it serves wants credentials; its
// messages to the user go to terminal.
func dockerCredentials(terminal io.Writer) (*dockerconfig.File, error) {
	file := &dockerconfig.File{Path: dockerconfig.DefaultPath(), Terminal: terminal}
	if err := file.Check(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &configError{fmt.Errorf("credentials cannot be read: %w", err)}
	}
	return file, nil
}

// gatewayCredentials returns the credentials of the configured file, or of Docker's for
// the user that the gateway runs as.
func gatewayCredentials(ctx context.Context, config *gateway.Config) func(host, repository string) (user, secret string, err error) {
	file := &dockerconfig.File{Path: config.DockerConfig, OnWarning: func(err error) {
		telemetry.Hooks(log.G(ctx)).OnWarning("", err)
	}}
	if file.Path == "" {
		file.Path = dockerconfig.DefaultPath()
	} else {
		file.Begin()
	}
	return func(host, repository string) (string, string, error) { return file.Credentials(ctx, host, repository) }
}

// repositoryIn returns the repository of REGISTRY/REPOSITORY[:TAG], or "".
func repositoryIn(target string) string {
	if ref, err := imageref.Parse(target); err == nil && strings.Contains(target, "/") {
		return ref.Repository
	}
	return ""
}
