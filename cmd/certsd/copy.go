package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/internal/imageref"
	"github.com/certsd/containerd-certsd/internal/progress"
	"github.com/certsd/containerd-certsd/internal/safetext"
	"github.com/certsd/containerd-certsd/v1compat"
)

const copyDescription = `Copies an image, or all tags of a repository, from any registry to one that speaks v2. Registry v1 and schema 1 images
become OCI images on the way. Each registry gets the client certificates of its own directory.

Layers are streamed, each once; those that the target has are not sent. A tag at the target is written last, after
everything that belongs to it, and replaces an image of that name. However a copy ends, run the same command again to
continue. A tag that fails does not stop the others: failures are listed at the end. The exit code is 1 if another try may
help, and 3 if it cannot, because everything that failed is missing, refused or unusable. After Ctrl-C it is 130.

Without a tag, DST takes the tag of SRC. With --all-tags both are repositories. Of a multi-platform image, all platforms
are copied, with the attestations that the index names; --platform picks one, whose manifest gets the tag. With
--referrers, artifacts that refer to an image, such as signatures, are copied, too.

Registry v1 and schema 1 images are converted in a directory below --cache. Without --cache the directory is temporary:
it is removed once everything is copied, and left for the next copy if something failed. A --cache that you name is kept,
so a later copy fetches only new layers; between two tags, the oldest layers beyond --cache-size are deleted.

Examples:

    certsd copy archive.example/app:1.2 registry.example/team/app
    certsd copy --all-tags --dry-run archive.example/app registry.example/team/app
    certsd copy --tags-matching '^1\.[0-9]+$' archive.example/app registry.example/team/app`

// copyFlags are the flags of certsd copy.
type copyFlags struct {
	hosts     hostFlags
	allTags   bool
	matching  string
	dryRun    bool
	platform  string
	referrers bool
	cache     string
	cacheSize int64
	jobs      int
	quiet     bool
	debug     bool
}

func copyCommand(stdout, stderr io.Writer) *cli.Command {
	var f copyFlags
	return &cli.Command{
		Name:         "copy",
		Usage:        "copy an image or all tags of a repository to a v2 registry",
		ArgsUsage:    "SRC DST",
		Description:  copyDescription,
		OnUsageError: usage,
		Flags: append(
			f.hosts.flags(),
			&cli.BoolFlag{Name: "all-tags", Aliases: []string{"a"}, Usage: "copy all tags of the repository SRC", Destination: &f.allTags},
			&cli.StringFlag{Name: "tags-matching", Usage: "copy the tags of the repository SRC that match the regular expression `RE`", Destination: &f.matching},
			&cli.BoolFlag{Name: "dry-run", Usage: "show what would be sent, and send nothing", Destination: &f.dryRun},
			&cli.StringFlag{Name: "platform", Usage: "copy only the image for `PLATFORM`, such as linux/arm64", Destination: &f.platform},
			&cli.BoolFlag{Name: "referrers", Usage: "also copy artifacts that refer to an image, such as signatures", Destination: &f.referrers},
			&cli.StringFlag{Name: "cache", Usage: "convert in `DIR` and keep the converted layers (default: certsd in $XDG_CACHE_HOME, not kept)", Destination: &f.cache},
			&cli.Int64Flag{Name: "cache-size", Usage: "keep at most `GIB` in the cache", Value: 16, Destination: &f.cacheSize, Validator: positive[int64]},
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Usage: "work on `N` tags and transfer N layers at a time", Value: 4, Destination: &f.jobs, Validator: positive[int]},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only failures", Destination: &f.quiet},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Len() != 2 {
				return &usageError{fmt.Errorf("copy takes SRC and DST, not %d arguments", c.Args().Len())}
			}
			f.debug = c.Bool("debug")
			req, err := f.request(c.Args().Get(0), c.Args().Get(1), c.IsSet("tags-matching"))
			if err != nil {
				return &usageError{err}
			}
			return f.run(ctx, req, stdout, stderr)
		},
	}
}

// positive rejects numbers less than 1.
func positive[N int | int64](n N) error {
	if n < 1 {
		return fmt.Errorf("%d is less than 1", n)
	}
	return nil
}

// request parses what to copy.
func (f *copyFlags) request(source, target string, matching bool) (imagecopy.Request, error) {
	req := imagecopy.Request{AllTags: f.allTags || matching, Referrers: f.referrers, DryRun: f.dryRun}
	if matching {
		re, err := regexp.Compile(f.matching)
		if err != nil {
			return req, fmt.Errorf("--tags-matching: %w", err)
		}
		req.Match = re
	}
	if f.platform != "" {
		p, err := platforms.Parse(f.platform)
		if err != nil {
			return req, fmt.Errorf("--platform: %w", err)
		}
		req.Platform = &p
	}
	from, to, err := f.references(source, target, req.AllTags)
	if err != nil {
		return req, err
	}
	req.Source, req.Target = from.String(), to.String()
	return req, req.Validate()
}

// references parses both names. For a single image the target may omit the tag.
func (f *copyFlags) references(source, target string, allTags bool) (from, to imageref.Ref, err error) {
	parse := imageref.Parse
	if allTags {
		parse = imageref.ParseRepository
	}
	if from, err = parse(source); err != nil {
		return from, to, err
	}
	if to, err = imageref.ParseRepository(target); err != nil && !allTags {
		to, err = imageref.Parse(target)
	}
	return from, to, err
}

func (f *copyFlags) run(ctx context.Context, req imagecopy.Request, stdout, stderr io.Writer) error {
	logins, err := dockerCredentials(stderr)
	if err != nil {
		return err
	}
	cache, err := f.cacheDir()
	if err != nil {
		return err
	}
	report := progress.New(stderr, progress.ModeFor(stderr, f.quiet))
	defer report.Close()
	hosts := f.hosts.hosts(showHosts(report, f.debug))
	defer hosts.CloseIdleConnections()
	copier := &imagecopy.Copier{
		Hosts: hosts, Cache: cache, Blobs: f.jobs, Tags: f.jobs,
		Hooks: imagecopy.Hooks{OnBlob: showBlob(report, f.dryRun), OnConvert: showConversion(report)},
	}
	copier.Credentials = func(host, repository string) (string, string, error) {
		return logins.Credentials(ctx, host, repository)
	}
	if !f.quiet {
		shown := &tagLines{report: report, out: stdout, dryRun: req.DryRun, columns: columnsOf(stdout)}
		copier.Hooks.OnTags, copier.Hooks.OnItem = shown.begin, shown.item
	}
	summary, err := copier.Copy(ctx, req)
	report.Close()
	if summary == nil {
		if errdefs.IsInvalidArgument(err) {
			return &usageError{err}
		}
		return repeatable(ctx, err)
	}
	if !f.quiet {
		if werr := writeSummary(stdout, columnsOf(stdout), summary, req.DryRun); werr != nil {
			return errors.Join(werr, err)
		}
	}
	return errors.Join(copyFailures(ctx, summary), err)
}

// cacheDir returns the cache to convert images in.
func (f *copyFlags) cacheDir() (*imagecopy.Cache, error) {
	cache := &imagecopy.Cache{Dir: f.cache, Keep: f.cache != "", Limit: f.cacheSize << 30}
	if f.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("no directory to convert images in: %w: name one with --cache", err)
		}
		cache.Dir = filepath.Join(dir, "certsd", "copy")
	}
	return cache, nil
}

func showBlob(report *progress.Reporter, dryRun bool) func(imagecopy.Blob) {
	sent := "sent"
	if dryRun {
		sent = "to be sent"
	}
	return func(b imagecopy.Blob) {
		name := "layer " + progress.Short(b.Descriptor.Digest.String())
		switch {
		case b.Done && b.How == imagecopy.Present:
			report.Drop(name)
		case b.How == imagecopy.Mounted:
			report.Update(progress.Item{Name: name, Action: "mounted", Offset: b.Offset, Total: b.Descriptor.Size, Done: true})
		case !b.Done:
			report.Update(progress.Item{Name: name, Offset: b.Offset, Total: b.Descriptor.Size})
		default:
			report.Update(progress.Item{Name: name, Action: sent, Offset: b.Offset, Total: b.Descriptor.Size, Done: true})
		}
	}
}

func showConversion(report *progress.Reporter) func(v1compat.Progress) {
	return func(p v1compat.Progress) {
		name := "layer " + progress.Short(p.ID)
		if p.Known {
			report.Drop(name)
			return
		}
		report.Update(progress.Item{Name: name, Action: "fetched", Offset: p.Offset, Total: p.Total, Done: p.Done})
	}
}

// tagLines prints each tag as it is done, with a count on a terminal.
type tagLines struct {
	report *progress.Reporter
	out    io.Writer
	dryRun bool
	// columns is the width of the terminal out, or zero for other programs, which read
	// each tag on one line.
	columns int

	mu          sync.Mutex // guards the rest
	done, total int
}

func (l *tagLines) begin(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total = len(names)
	l.count()
}

func (l *tagLines) item(i imagecopy.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	l.count()
	l.report.Print(l.out, wrap(fmt.Sprintf("%s: %s", i.Name, itemText(i, l.dryRun)), l.columns)...)
}

func (l *tagLines) count() {
	if l.total > 1 {
		l.report.Status(fmt.Sprintf("%d of %d tags", l.done, l.total))
	}
}

// writeSummary prints the totals of all tags.
func writeSummary(out io.Writer, columns int, s *imagecopy.Summary, dryRun bool) error {
	var text strings.Builder
	would := ""
	if dryRun {
		would = "would be "
	}
	fmt.Fprintf(&text, "%s: %d %scopied, %d identical", tagCount(len(s.Items)), s.Count(imagecopy.Copied), would, s.Count(imagecopy.Identical))
	if n := s.Count(imagecopy.Undecided); n > 0 {
		fmt.Fprintf(&text, ", %d to be converted first", n)
	}
	fmt.Fprintf(&text, ", %d failed; %s", s.Count(imagecopy.Failed), countsText(s.Counts, would))
	if s.Counts.ToConvert > 0 {
		fmt.Fprintf(&text, ", and of those to be converted %s", estimateText(s.Counts))
	}
	lines := wrap(safetext.Line(text.String(), 0), columns)
	_, err := io.WriteString(out, strings.Join(lines, "\n")+"\n")
	return err
}

func itemText(i imagecopy.Item, dryRun bool) string {
	switch i.State {
	case imagecopy.Identical:
		return fmt.Sprintf("%s is there", i.Digest)
	case imagecopy.Undecided:
		if i.Replaces != "" {
			return "must be converted before it can be compared with " + i.Replaces.String()
		}
		if i.Counts.ToConvert > 0 {
			return "is not there, and will be converted: " + estimateText(i.Counts)
		}
		return "is not there, and will be converted"
	case imagecopy.Failed:
		return "failed"
	}
	would := ""
	if dryRun {
		would = "would be "
	}
	text := fmt.Sprintf("%s %scopied", i.Digest, would)
	if i.Replaces != "" {
		text += " in place of " + i.Replaces.String()
	}
	return text + "; " + countsText(i.Counts, would)
}

func countsText(c imagecopy.Counts, would string) string {
	text := fmt.Sprintf("%d layers (%s) %ssent", c.Sent, progress.Size(c.Bytes), would)
	if c.Mounted > 0 {
		text += fmt.Sprintf(", %d mounted", c.Mounted)
	}
	if c.Present > 0 {
		text += fmt.Sprintf(", %d there", c.Present)
	}
	return text
}

// estimateText returns the registry's estimate of the layers to be converted.
func estimateText(c imagecopy.Counts) string {
	text := fmt.Sprintf("an estimate of %d layers (%s)", c.ToConvert, progress.Size(c.ConvertBytes))
	if c.Unmeasured > 0 {
		text = fmt.Sprintf("an estimate of %d layers (%s, and %d of unknown size)", c.ToConvert, progress.Size(c.ConvertBytes), c.Unmeasured)
	}
	return text
}

func tagCount(n int) string {
	if n == 1 {
		return "1 tag"
	}
	return fmt.Sprintf("%d tags", n)
}

// copyError lists what is not at the target.
type copyError struct {
	text string
	// causes are the errors of a copy that copied nothing.
	causes []error
}

func (e *copyError) Error() string { return e.text }

// Unwrap returns the errors that decide the exit code: an unusable configuration does
// so only if nothing was copied.
func (e *copyError) Unwrap() []error { return e.causes }

// copyFailures lists what is not at the target. Tags that an interruption stopped, or
// kept from starting, are only counted.
func copyFailures(ctx context.Context, s *imagecopy.Summary) error {
	var text []string
	var causes []error
	interrupted := 0
	for _, i := range s.Items {
		switch {
		case i.State != imagecopy.Failed:
		case ctx.Err() != nil && errors.Is(i.Err, ctx.Err()):
			interrupted++
		default:
			text = append(text, fmt.Sprintf("%s: %v", i.Name, i.Err))
			causes = append(causes, i.Err)
		}
	}
	failed := len(text)
	hopeless := failed > 0 && allFinal(causes)
	if failed > 0 {
		again := "; the same command tries again:"
		if hopeless {
			again = ", and the same command will not do better:"
		}
		text = append([]string{fmt.Sprintf("%d of %s failed%s", failed, tagCount(len(s.Items)), again)}, text...)
	}
	if interrupted > 0 {
		text = append(text, fmt.Sprintf("interrupted with %d of %s not copied; the same command goes on from here", interrupted, tagCount(len(s.Items))))
	}
	if len(text) == 0 {
		return nil
	}
	if failed < len(s.Items) {
		causes = nil
	}
	err := &copyError{strings.Join(text, "\n"), causes}
	switch {
	case ctx.Err() != nil:
		return &outcome{err, exitInterrupted}
	case hopeless:
		return &outcome{err, exitFinal}
	default:
		return err
	}
}

func allFinal(causes []error) bool {
	return !slices.ContainsFunc(causes, func(err error) bool { return !final(err) })
}
