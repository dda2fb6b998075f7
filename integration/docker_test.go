//go:build linux

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
)

// dockerSocket is where the scenarios start Docker.
const dockerSocket = "/run/docker.sock"

// dockerPullMain is the command "docker-pull [-user NAME -password WORD] REF":
// it does what "docker pull" does, and prints what it prints.
func dockerPullMain() {
	user := flag.String("user", "", "user name for the registry")
	password := flag.String("password", "", "password for the registry")
	exit(func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return errors.New("usage: docker-pull [-user NAME -password WORD] REF")
		}
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", dockerSocket)
			},
		}}
		u := "http://docker/images/create?" + url.Values{"fromImage": {args[0]}}.Encode()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, http.NoBody)
		if err != nil {
			return err
		}
		auth, err := json.Marshal(map[string]string{"username": *user, "password": *password})
		if err != nil {
			return err
		}
		req.Header.Set("X-Registry-Auth", base64.URLEncoding.EncodeToString(auth))
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			text, err := io.ReadAll(resp.Body)
			return errors.Join(fmt.Errorf("%s: %s", resp.Status, text), err)
		}
		return printDocker(os.Stdout, resp.Body)
	})
}

// printDocker prints the messages of a pull; one of them may be its error.
func printDocker(w io.Writer, r io.Reader) error {
	for dec := json.NewDecoder(r); ; {
		var message struct{ Status, Error string }
		switch err := dec.Decode(&message); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case message.Error != "":
			return errors.New(message.Error)
		case message.Status != "":
			fmt.Fprintln(w, message.Status)
		}
	}
}
