package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/gateway"
)

// tour shows the other commands with the demonstration's registry and directory. Their
// output goes below dir.
func (d *demo) tour(ctx context.Context, out io.Writer, dir string) error {
	docker := filepath.Join(dir, "daemon.json")
	if err := os.WriteFile(docker, []byte("{}\n"), 0o600); err != nil {
		return err
	}
	fmt.Fprint(out, "\nThe other commands, with the same directory (what is long is cut):\n")
	for _, args := range [][]string{
		{"check", "--root", d.root, "--config", "", "--docker-config", "", d.ref},
		{"copy", "--root", d.root, "--cache", filepath.Join(dir, "cache"), d.ref, d.host + "/demo/copy:1"},
		{"migrate", "--root", d.root, "--config", docker, "--output", filepath.Join(dir, "hosts")},
	} {
		if err := showCommand(ctx, out, args); err != nil {
			return err
		}
	}
	return d.throughGateway(ctx, out, filepath.Join(dir, "gateway"))
}

// maxShownLines bounds how many lines of a command's output are shown.
const maxShownLines = 16

// showCommand runs a command of this program and shows it with its first lines of
// output, or the last line of check.
func showCommand(ctx context.Context, out io.Writer, args []string) error {
	var stdout, stderr bytes.Buffer
	if code := run(ctx, append([]string{"certsd"}, args...), &stdout, &stderr); code != exitDone {
		return fmt.Errorf("certsd %s ended with exit code %d: %s%s", args[0], code, &stdout, &stderr)
	}
	printed := strings.Split(strings.TrimRight(stdout.String(), "\n"), "\n")
	if args[0] == "check" {
		printed = printed[len(printed)-1:] // the verdict
	}
	fmt.Fprintf(out, "\n  $ certsd %s\n", strings.Join(shown(args), " "))
	for _, line := range printed[:min(len(printed), maxShownLines)] {
		if _, err := fmt.Fprintf(out, "    %s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// shown returns the arguments without the flags that isolate the demonstration.
func shown(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--config", "--docker-config", "--cache", "--containerd", "--cri":
			i++
		default:
			kept = append(kept, args[i])
		}
	}
	return kept
}

// throughGateway asks a gateway for the manifest, as a client without certificates
// does, and then for its status.
func (d *demo) throughGateway(ctx context.Context, out io.Writer, state string) (err error) {
	config := gateway.DefaultConfig()
	config.Root, config.State, config.Listen = d.root, state, []string{"127.0.0.1:0"}
	ctx, stop := context.WithCancel(ctx)
	ready, ended := make(chan []net.Addr, 1), make(chan error, 1)
	go func() { ended <- config.Run(ctx, nil, func(addresses []net.Addr) { ready <- addresses }) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	var address string
	select {
	case addresses := <-ready:
		address = addresses[0].String()
	case err := <-ended:
		ended <- nil
		return err
	}
	fmt.Fprintf(out, "\n  $ certsd gateway --root %s --state %s &\n", d.root, state)
	repository := strings.ReplaceAll(d.host, ":", "_") + "/demo/hello"
	answer, err := getWithSecret(ctx, "http://"+address+"/v2/"+repository+"/manifests/1", filepath.Join(state, "secret"))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "    GET /v2/%s/manifests/1 with the gateway's secret and no certificate: %s\n", repository, answer)
	return showCommand(ctx, out, []string{"status", "--state", state, "--containerd", filepath.Join(state, "none"), "--cri", filepath.Join(state, "none")})
}

// getWithSecret asks a gateway, and returns the status and digest of its answer.
func getWithSecret(ctx context.Context, url, file string) (string, error) {
	secret, err := os.ReadFile(file) //nolint:gosec // the demonstration's own
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth("certsd", strings.TrimSpace(string(secret)))
	transport := &http.Transport{} // no proxy for loopback
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the gateway answers %s", resp.Status)
	}
	return resp.Status + ", " + resp.Header.Get("Docker-Content-Digest"), nil
}
