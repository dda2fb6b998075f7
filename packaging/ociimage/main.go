// Command ociimage writes the container image of certsd as an archive of the OCI
// image layout, without a daemon and without a Dockerfile: a static program for
// each architecture, and the places where its files are mounted. The same
// programs give the same bytes. main.go reads flags, layer.go makes the one layer,
// layout.go the archive.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/internal/wholefile"
)

// image is what an image is made of.
type image struct {
	// name is what containerd calls it, tag what is behind its colon.
	name, tag string
	// programs are files by architecture.
	programs pairs
	// labels go into configurations and manifests.
	labels  pairs
	created time.Time
}

// pairs are NAME=VALUE in the order of the command line.
type pairs [][2]string

func (p *pairs) String() string { return fmt.Sprint(*p) }

func (p *pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" || value == "" {
		return errors.New("want NAME=VALUE")
	}
	*p = append(*p, [2]string{name, value})
	return nil
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ociimage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var i image
	var output string
	flags := flag.NewFlagSet("ociimage", flag.ContinueOnError)
	flags.StringVar(&output, "output", "", "the archive to write")
	flags.StringVar(&i.name, "name", "", "the image's name without a tag: ghcr.io/certsd/certsd")
	flags.StringVar(&i.tag, "tag", "", "its tag")
	flags.Var(&i.programs, "program", "ARCH=FILE, for each architecture")
	flags.Var(&i.labels, "label", "NAME=VALUE")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if output == "" || i.name == "" || i.tag == "" || len(i.programs) == 0 {
		return errors.New("--output, --name, --tag and --program are needed")
	}
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH is no time: %w", err)
	}
	i.created = time.Unix(seconds, 0).UTC()
	packed, err := i.pack()
	if err != nil {
		return err
	}
	return wholefile.WritePath(output, packed, wholefile.Options{Mode: 0o644}) // an image is public
}
