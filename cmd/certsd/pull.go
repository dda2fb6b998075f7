package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/ocilayout"
	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/resolver"
)

const pullDescription = `Pulls an image into an OCI image layout, a directory that skopeo, crane and podman read. Images that only Registry v1
or schema 1 still have become OCI images on the way.

The directory is ./NAME, after the last part of the repository, or that of --output. An image is added to a layout that
exists, in place of the one that had its tag. The index names the image only once all of it is there; after Ctrl-C or
an error run the same command again: it goes on from there.

Of an image that is there for several platforms the one of this machine is taken, or that of --platform: its manifest
gets the tag, as with skopeo and crane. For several platforms an index of those is made; with --all-platforms the
registry's own index is taken whole, with all it names.

Docker's manifests become OCI manifests, as with skopeo copy: they refer to the same layers, but their digest is another
one. With --preserve-digests, or for a reference with a digest, they stay what they are; skopeo before 1.13 does not find
those by their tag.

Examples:

    certsd pull registry.example/team/app:1.2
    skopeo inspect oci:app:1.2

    certsd pull --output /srv/images --platform linux/amd64,linux/arm64 registry.example/team/app:1.2`

// pullFlags are the flags of certsd pull.
type pullFlags struct {
	hosts        hostFlags
	output       string
	platforms    []string
	allPlatforms bool
	preserve     bool
	quiet        bool
}

func pullCommand(stdout, stderr io.Writer) *cli.Command {
	var f pullFlags
	return &cli.Command{
		Name:         "pull",
		Usage:        "pull an image into an OCI image layout",
		ArgsUsage:    "[HOST[:PORT]/]NAME[:TAG][@DIGEST]",
		Description:  pullDescription,
		OnUsageError: usage,
		Flags: append(
			f.hosts.flags(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "put the image into the layout in `DIR` (default: ./NAME)", Destination: &f.output},
			&cli.StringSliceFlag{Name: "platform", Usage: "take the image for `PLATFORM`, such as linux/arm64; may be repeated, or a list with commas", Destination: &f.platforms},
			&cli.BoolFlag{Name: "all-platforms", Usage: "take all there is", Destination: &f.allPlatforms},
			&cli.BoolFlag{Name: "preserve-digests", Usage: "keep manifests as they are, also Docker's", Destination: &f.preserve},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print the image's name and digest and nothing else", Destination: &f.quiet},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return &usageError{fmt.Errorf("pull takes one image reference, not %d", c.Args().Len())}
			}
			return f.run(ctx, c.Args().First(), stdout, stderr)
		},
	}
}

func (f *pullFlags) run(ctx context.Context, name string, stdout, stderr io.Writer) error {
	ref, err := imageref.Parse(name)
	if err != nil {
		return &usageError{err}
	}
	chosen := pull.Platforms{All: f.allPlatforms}
	if chosen.Only, err = pull.ParsePlatforms(f.platforms); err != nil {
		return &usageError{err}
	}
	if chosen.All && len(chosen.Only) > 0 {
		return &usageError{errors.New("--platform and --all-platforms exclude each other")}
	}
	credentials, err := dockerCredentials(ctx)
	if err != nil {
		return err
	}
	report := progress.New(stderr, progress.ModeFor(stderr, f.quiet))
	defer report.Close()
	hosts := f.hosts.hosts(resolver.Hooks{OnWarning: func(host string, problem error) {
		report.Printf("warning: %s: %v", host, problem)
	}})
	defer hosts.CloseIdleConnections()
	req := &pull.Request{
		Ref: ref, Hosts: hosts, Credentials: credentials,
		Platforms: chosen, PreserveDigests: f.preserve, Progress: report,
	}
	dir := f.output
	if dir == "" {
		dir = ref.Base()
	}
	res, err := pull.ToLayout(ctx, req, dir)
	report.Close()
	if err != nil {
		return unusableLayout(err)
	}
	return f.tell(stdout, ref, res, "oci:"+layoutName(dir, ref))
}

// tell prints what was pulled and where it is. The reference in full can be
// pulled again.
func (f *pullFlags) tell(stdout io.Writer, ref imageref.Ref, res pull.Result, where string) error {
	if f.quiet {
		_, err := fmt.Fprintln(stdout, ref.WithDigest(res.Target.Digest))
		return err
	}
	if res.Target.Digest != res.Resolved.Digest {
		where += fmt.Sprintf(" (%s in the registry)", res.Resolved.Digest)
	}
	_, err := fmt.Fprintf(stdout, "pulled %s\n%s in %s\n", ref, res.Target.Digest, where)
	return err
}

// unusableLayout makes wrong usage of a directory that is something else.
func unusableLayout(err error) error {
	if _, ok := errors.AsType[*ocilayout.UnusableError](err); ok {
		return &usageError{err}
	}
	return err
}

// layoutName is what skopeo takes after "oci:".
func layoutName(dir string, ref imageref.Ref) string {
	if ref.Tag == "" {
		return dir
	}
	return dir + ":" + ref.Tag
}
