package main

import (
	"context"
	"fmt"
	"time"

	"oras.land/oras-go/v2/registry/remote/credentials"
)

// helperTimeout bounds a credential helper, which may ask a keyring or a cloud.
const helperTimeout = 30 * time.Second

// dockerCredentials are what docker login left in config.json, credential
// helpers included: a resolver.Options.Credentials. A helper is asked when a
// registry wants credentials, and never for a host it is not.
func dockerCredentials(ctx context.Context) (func(host string) (user, secret string, err error), error) {
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
