package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// helperTimeout bounds a credential helper, which may ask a keyring or a cloud.
const helperTimeout = 30 * time.Second

// dockerCredentials are what docker login left in config.json, credential
// helpers included: a resolver.Options.Credentials. A helper is asked when a
// registry wants credentials, and never for a host it is not.
func dockerCredentials(ctx context.Context) (func(host string) (user, secret string, err error), error) {
	if err := checkDockerConfig(); err != nil {
		return nil, &configError{fmt.Errorf("credentials cannot be read: %w", err)}
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, &configError{fmt.Errorf("credentials cannot be read: %w", err)}
	}
	find := credentials.Credential(store)
	return func(host string) (string, string, error) {
		ctx, cancel := context.WithTimeout(ctx, helperTimeout)
		defer cancel()
		c, err := find(ctx, host)
		switch {
		case err != nil:
			return "", "", fmt.Errorf("credentials for %s: %w", host, err)
		case c.RefreshToken != "":
			return "", c.RefreshToken, nil
		default:
			return c.Username, c.Password, nil
		}
	}, nil
}

// checkDockerConfig finds a config.json that would keep whoever opens it for
// ever, or that cannot be text.
func checkDockerConfig() error {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			// Whoever reads it finds that, too, and does without.
			return nil
		}
		dir = filepath.Join(home, ".docker")
	}
	file := filepath.Join(dir, "config.json")
	data, err := plainfile.Read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case plainfile.HasMark(data):
		return fmt.Errorf("%s begins with a byte order mark, which Docker does not read either: remove it with %s", file, plainfile.WithoutMark(file))
	}
	if _, err := plainfile.Text(file, data); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
