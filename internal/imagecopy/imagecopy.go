// Package imagecopy copies images from any registry, Registry v1 and schema 1
// included, to one that speaks v2.
//
// Nothing is stored on the way except images that must be converted. Layers are
// streamed, each only once for all tags that share it, and those the target has are
// not sent. A manifest is sent after everything it names, and a tag last:
// wherever a copy stops, a tag at the target is complete, and the next copy
// continues from there. Each tag has an [Item] with its result: one that fails
// does not affect the others.
//
// Read imagecopy.go and request.go first: what is copied, and what is reported.
// run.go copies, from source.go to target.go; content.go checks what passes through.
// cache.go keeps what was converted, and referrers.go copies signatures and the like.
package imagecopy

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/certsd/containerd-certsd/resolver"
	"github.com/certsd/containerd-certsd/v1compat"
)

// Copier copies images. Its zero value works anonymously with resolver.DefaultHosts
// and converts nothing. It may be used concurrently as long as its fields stay
// unchanged.
type Copier struct {
	// Hosts configures the registries of both source and target: each is sent the
	// certificates of its own directory. nil means resolver.DefaultHosts.
	Hosts *resolver.Hosts
	// Credentials is as in resolver.Options, for a repository of the host.
	Credentials func(host, repository string) (user, secret string, err error)
	// Cache holds converted images of Registry v1 and schema 1. nil refuses such
	// images.
	Cache *Cache
	// Blobs is how many layers are transferred at a time; zero means 4.
	Blobs int
	// Tags is how many tags are copied at a time; zero means 4.
	Tags int
	// Hooks observe the copy.
	Hooks Hooks
}

// Hooks observe a copy. Each may be nil; they are called concurrently and must not
// block.
type Hooks struct {
	// OnTags is called with the names of everything to copy, before the first copy.
	OnTags func(names []string)
	// OnItem is called with the result of a tag.
	OnItem func(Item)
	// OnBlob is called for each layer and configuration: while it is sent, and once
	// with Done when the target has it.
	OnBlob func(Blob)
	// OnConvert is called for layers that are fetched for conversion.
	OnConvert func(v1compat.Progress)
}

// Blob is one observation of a layer or configuration on its way.
type Blob struct {
	Descriptor ocispec.Descriptor
	// Offset counts the bytes sent so far.
	Offset int64
	// Done reports whether the target has it; How, how it got there.
	Done bool
	How  How
}

// How tells how the target came to have a blob.
type How string

const (
	// Sent means that it was uploaded.
	Sent How = "sent"
	// Mounted means that the target took it from another of its repositories.
	Mounted How = "mounted"
	// Present means that the target had it already.
	Present How = "present"
)

// State is the result of copying a tag.
type State string

const (
	// Copied means that the target now has it or, in a dry run, that it would be
	// copied.
	Copied State = "copied"
	// Identical means that the target had the same image under this tag.
	Identical State = "identical"
	// Undecided means, in a dry run, that the outcome is unknown without converting
	// the image.
	Undecided State = "undecided"
	// Failed means that it was not copied, for the reason in Item.Err.
	Failed State = "failed"
)

// Item is the result of one tag.
type Item struct {
	// Name is the tag, or the digest if there is none.
	Name string
	// Source and Target are the full references.
	Source, Target string
	// Digest is the image's digest, empty if unknown.
	Digest digest.Digest
	State  State
	// Replaces is the tag's digest at the target before the copy; empty if it had
	// none.
	Replaces digest.Digest
	// Counts covers the blobs that this tag was the first to need.
	Counts Counts
	// Err is set if State is Failed.
	Err error
}

// Counts are numbers of layers and configurations.
type Counts struct {
	// Sent were uploaded, with Bytes in total, or would be in a dry run.
	Sent  int
	Bytes int64
	// Mounted were taken by the target from another of its repositories; Present were
	// there already.
	Mounted, Present int
	// ToConvert, in a dry run, must be fetched and converted first, and then sent
	// unless the target has the result. ConvertBytes is their total size according to
	// the source, an estimate that leaves out the Unmeasured ones.
	ToConvert, Unmeasured int
	ConvertBytes          int64
}

func (c *Counts) add(o Counts) {
	c.Sent += o.Sent
	c.Bytes += o.Bytes
	c.Mounted += o.Mounted
	c.Present += o.Present
	c.ToConvert += o.ToConvert
	c.Unmeasured += o.Unmeasured
	c.ConvertBytes += o.ConvertBytes
}

// Summary is the result of a copy.
type Summary struct {
	// Items are sorted by name.
	Items []Item
	// Counts is the sum over all items.
	Counts Counts
}

// Count returns the number of items in a state.
func (s *Summary) Count(state State) int {
	n := 0
	for i := range s.Items {
		if s.Items[i].State == state {
			n++
		}
	}
	return n
}

func (c *Copier) blobs() int64 {
	if c.Blobs < 1 {
		return 4
	}
	return int64(c.Blobs)
}

func (c *Copier) tags() int {
	if c.Tags < 1 {
		return 4
	}
	return c.Tags
}

// Copy copies what is requested. The error tells why nothing was begun: an invalid
// request (errdefs.ErrInvalidArgument), an unavailable list of tags, or an unusable
// cache. All other errors are in the summary's items.
func (c *Copier) Copy(ctx context.Context, req Request) (*Summary, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	r := newRun(c, req)
	jobs, err := r.jobs(ctx)
	if err != nil {
		return nil, err
	}
	if hook := c.Hooks.OnTags; hook != nil {
		names := make([]string, len(jobs))
		for i, j := range jobs {
			names[i] = j.name
		}
		hook(names)
	}
	summary := r.copyAll(ctx, jobs)
	if err := r.source.close(summary.Count(Failed) == 0); err != nil {
		return summary, fmt.Errorf("cache: %w", err)
	}
	return summary, nil
}

// copyAll runs several jobs at a time.
func (r *run) copyAll(ctx context.Context, jobs []job) *Summary {
	s := &Summary{Items: make([]Item, len(jobs))}
	var mu sync.Mutex // guards s.Counts
	var group errgroup.Group
	group.SetLimit(r.tags())
	for i, j := range jobs {
		group.Go(func() error {
			item := r.item(ctx, j)
			s.Items[i] = item
			mu.Lock()
			s.Counts.add(item.Counts)
			mu.Unlock()
			if r.Hooks.OnItem != nil {
				r.Hooks.OnItem(item)
			}
			return nil
		})
	}
	_ = group.Wait()
	return s
}
