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
)

const pullDescription = `Pulls an image into an OCI image layout, a directory that skopeo, crane and podman read, or into a containerd. Images that
only Registry v1 or schema 1 still have become OCI images on the way.

The directory is ./NAME, after the last part of the repository, or the one in --output. An existing layout gets the
image added, in place of an image with the same tag. The index names the image only once it is complete. After Ctrl-C or
an error, run the same command again to continue.

Of a multi-platform image, this machine's platform is pulled, or the one in --platform; its manifest gets the tag, as
with skopeo and crane. For several platforms, certsd makes an index of them. --all-platforms takes the registry's own
index with everything it names.

Docker's manifests become OCI manifests, as with skopeo copy. They refer to the same layers, but have another digest.
Both digests are printed; with --quiet only the registry's, so that you can pull the image again. With
--preserve-digests, or if the reference has a digest, manifests stay as they are; skopeo before 1.13 does not find those
by their tag.

With --containerd the image goes into a containerd, stock or with the plugin, and is unpacked there. Its manifests stay
as they are. With --all-platforms, this machine's platform is unpacked.

Examples:

    certsd pull registry.example/team/app:1.2
    skopeo inspect oci:app:1.2

    certsd pull --output /srv/images --platform linux/amd64,linux/arm64 registry.example/team/app:1.2

    certsd pull --containerd /run/containerd/containerd.sock --namespace k8s.io registry.example/team/app:1.2`

// pullFlags are the flags of certsd pull.
type pullFlags struct {
	hosts        hostFlags
	output       string
	daemon       pull.Daemon
	platforms    []string
	allPlatforms bool
	preserve     bool
	quiet, debug bool
}

func pullCommand(stdout, stderr io.Writer) *cli.Command {
	var f pullFlags
	return &cli.Command{
		Name:         "pull",
		Usage:        "pull an image into an OCI image layout or a containerd",
		ArgsUsage:    "[HOST[:PORT]/]NAME[:TAG][@DIGEST]",
		Description:  pullDescription,
		OnUsageError: usage,
		Flags: append(
			f.hosts.flags(),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "put the image into the layout in `DIR` (default: ./NAME)", Destination: &f.output},
			&cli.StringFlag{Name: "containerd", Usage: "put the image into the containerd whose socket is `ADDRESS`", Destination: &f.daemon.Address},
			&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, Usage: "containerd's `NAMESPACE` for the image", Value: "default", Sources: cli.EnvVars("CONTAINERD_NAMESPACE"), Destination: &f.daemon.Namespace},
			&cli.StringFlag{Name: "snapshotter", Usage: "unpack with containerd's snapshotter `NAME` (default: the daemon's)", Destination: &f.daemon.Snapshotter},
			&cli.StringSliceFlag{Name: "platform", Usage: "pull the image for `PLATFORM`, such as linux/arm64, or for a comma-separated list", Destination: &f.platforms},
			&cli.BoolFlag{Name: "all-platforms", Usage: "pull all platforms", Destination: &f.allPlatforms},
			&cli.BoolFlag{Name: "preserve-digests", Usage: "keep manifests as they are, including Docker's", Destination: &f.preserve},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only the image's name and its digest in the registry", Destination: &f.quiet},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 1 {
				return &usageError{fmt.Errorf("pull takes one image reference, not %d", c.Args().Len())}
			}
			f.debug = c.Bool("debug")
			return f.run(ctx, c.Args().First(), stdout, stderr)
		},
	}
}

func (f *pullFlags) run(ctx context.Context, name string, stdout, stderr io.Writer) error {
	req, err := f.request(name)
	if err != nil {
		return &usageError{err}
	}
	logins, err := dockerCredentials(stderr)
	if err != nil {
		return err
	}
	req.Credentials = logins.For(ctx, req.Ref.Repository)
	req.Progress = progress.New(stderr, progress.ModeFor(stderr, f.quiet))
	defer req.Progress.Close()
	req.Hosts = f.hosts.hosts(showHosts(req.Progress, f.debug))
	defer req.Hosts.CloseIdleConnections()
	res, where, err := f.pull(ctx, req)
	req.Progress.Close()
	if err != nil {
		return repeatable(ctx, err)
	}
	return f.tell(stdout, req.Ref, res, where)
}

// request parses the command line.
func (f *pullFlags) request(name string) (*pull.Request, error) {
	ref, err := imageref.Parse(name)
	if err != nil {
		return nil, err
	}
	only, err := pull.ParsePlatforms(f.platforms)
	switch {
	case err != nil:
		return nil, err
	case f.allPlatforms && len(only) > 0:
		return nil, errors.New("--platform and --all-platforms exclude each other")
	case f.daemon.Address != "" && f.output != "":
		return nil, errors.New("--output and --containerd exclude each other")
	}
	return &pull.Request{
		Ref:             ref,
		Platforms:       pull.Platforms{All: f.allPlatforms, Only: only},
		PreserveDigests: f.preserve,
	}, nil
}

// pull pulls the image, and says where it is.
func (f *pullFlags) pull(ctx context.Context, req *pull.Request) (res pull.Result, where string, err error) {
	if f.daemon.Address != "" {
		res, err = pull.ToContainerd(ctx, req, f.daemon)
		return res, fmt.Sprintf("%s, namespace %s", f.daemon.Address, f.daemon.Namespace), err
	}
	dir := f.output
	if dir == "" {
		dir = req.Ref.Base()
	}
	res, err = pull.ToLayout(ctx, req, dir)
	return res, "oci:" + layoutName(dir, req.Ref), unusableLayout(err)
}

// tell prints what was pulled and where it is. With --quiet it prints a reference that
// can be pulled again: it has the registry's digest, which may differ from the local
// one.
func (f *pullFlags) tell(stdout io.Writer, ref imageref.Ref, res pull.Result, where string) error {
	if f.quiet {
		_, err := fmt.Fprintln(stdout, ref.WithDigest(res.Resolved.Digest))
		return err
	}
	if res.Target.Digest != res.Resolved.Digest {
		where += fmt.Sprintf(" (%s in the registry)", res.Resolved.Digest)
	}
	_, err := fmt.Fprintf(stdout, "pulled %s\n%s in %s\n", ref, res.Target.Digest, where)
	return err
}

// unusableLayout turns the error about a directory that is not a layout into wrong
// usage.
func unusableLayout(err error) error {
	if errors.As(err, new(*ocilayout.UnusableError)) {
		return &usageError{err}
	}
	return err
}

// layoutName returns the layout's name as skopeo takes it after "oci:".
func layoutName(dir string, ref imageref.Ref) string {
	if ref.Tag == "" {
		return dir
	}
	return dir + ":" + ref.Tag
}
