package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/internal/wholefile"
	"github.com/certsd/containerd-certsd/resolver"
)

func demoCommand(stdout io.Writer) *cli.Command {
	var serve string
	var greet bool
	return &cli.Command{
		Name:  "demo",
		Usage: "show a pull from a registry behind client certificates, all within this process",
		Description: "Starts a registry on a loopback port that accepts one of three client certificates, writes the certs.d\n" +
			"directory for it, and pulls an image into an OCI layout. Then it runs check, copy, migrate, gateway and status with\n" +
			"the same directory. It uses a temporary directory, and needs neither root nor a network.\n\n" +
			"   certsd demo\n" +
			"   certsd demo --serve /tmp/demo",
		OnUsageError: usage,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "serve", Usage: "only serve the registry, with its certs.d below `DIR`, until interrupted", Destination: &serve},
			// The demonstration's image runs this.
			&cli.BoolFlag{Name: "greet", Hidden: true, Destination: &greet},
		},
		Action: func(ctx context.Context, c *cli.Command) error {
			switch {
			case c.Args().Present():
				return &usageError{fmt.Errorf("demo takes no arguments, not %q", c.Args().First())}
			case greet:
				_, err := fmt.Fprintln(stdout, "Hello from an image that lives behind client certificates.")
				return err
			case serve != "":
				return demoServe(ctx, stdout, serve)
			default:
				return demoPull(ctx, stdout)
			}
		},
	}
}

// demoPull runs the demonstration, which needs neither root nor a network.
func demoPull(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "certsd-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	d, err := startDemo(filepath.Join(dir, "certs.d"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.pushSmallImage(); err != nil {
		return err
	}
	fmt.Fprintf(out, "A registry listens on %s. It wants a client certificate and answers 403 to all but %s.\n\n", d.host, d.accepted)
	if err := d.describe(out); err != nil {
		return err
	}

	attempts := &attemptLog{}
	hosts := &resolver.Hosts{
		Roots: certsd.Roots{d.root},
		Hooks: resolver.Hooks{Transport: certsd.Hooks{OnAttempt: attempts.add}},
	}
	defer hosts.CloseIdleConnections()
	ref, err := imageref.Parse(d.ref)
	if err != nil {
		return err
	}
	layout := filepath.Join(dir, "layout")
	res, err := pull.ToLayout(ctx, &pull.Request{Ref: ref, Hosts: hosts}, layout)
	if err != nil {
		return err
	}
	if err := d.account(out, attempts, res.Resolved, layout); err != nil {
		return err
	}
	if err := d.tour(ctx, out, dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\nAll of this was in %s, which is removed now.\n", dir)
	return err
}

// account prints each request and the result.
func (d *demo) account(out io.Writer, attempts *attemptLog, desc ocispec.Descriptor, layout string) error {
	fmt.Fprintf(out, "\nPulling %s:\n\n", d.ref)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  REQUEST\tCERTIFICATE\tANSWER")
	for _, a := range attempts.all() {
		fmt.Fprintf(w, "  %s %s\t%s\t%s\n", a.Method, shortPath(a.URL), a.Identity, answerOf(a))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe certificates were presented in alphabetical order until one was accepted; every further request began with it.\n")
	_, err := fmt.Fprintf(out, "The image is %s. It went into an OCI layout, %s.\n", desc.Digest, layout)
	return err
}

// demoServe serves the registry for other clients, such as containerd.
func demoServe(ctx context.Context, out io.Writer, dir string) (err error) {
	d, err := startDemo(filepath.Join(dir, "certs.d"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if err := d.pushGreeter(); err != nil {
		return err
	}
	// The reference appears last and atomically: it signals that all is ready.
	if err := wholefile.WritePath(filepath.Join(dir, "ref"), []byte(d.ref+"\n"), wholefile.Options{}); err != nil {
		return err
	}
	fmt.Fprintf(out, "serving %s; certs.d is %s\n", d.ref, d.root)
	<-ctx.Done()
	return nil
}
