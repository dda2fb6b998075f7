// Package imagecopy copies images from any registry, Registry v1 and schema 1
// included, to one that speaks v2.
//
// Nothing is stored on the way except what has to be converted. Layers are
// streamed, each once however many tags have it, and those the target has are
// not sent. A manifest is sent after everything that it names, and a tag last:
// wherever a copy stops, a tag at the target is complete, and the next copy
// continues from there. Each tag has an [Item] with its result: one that fails
// does not keep the others from being copied.
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

// Copier copies images. Its zero value works anonymously with the hosts of
// resolver.DefaultHosts and converts nothing. It may be used concurrently as
// long as its fields stay unchanged.
type Copier struct {
	// Hosts are the registries, those of source and target alike: each gets the
	// certificates of its own directory. nil means resolver.DefaultHosts.
	Hosts *resolver.Hosts
	// Credentials are as in resolver.Options, for a repository of the host.
	Credentials func(host, repository string) (user, secret string, err error)
	// Cache is where images of Registry v1 and schema 1 are converted. nil
	// refuses them.
	Cache *Cache
	// Blobs is how many layers are on their way at a time; zero is 4.
	Blobs int
	// Tags is how many tags are worked on together; zero is 4.
	Tags int
	// Hooks observe the copy.
	Hooks Hooks
}

// Hooks are told what happens. Each may be nil; they are called concurrently
// and must not block.
type Hooks struct {
	// OnTags is told the names of what will be copied, before the first of them.
	OnTags func(names []string)
	// OnItem is told what became of a tag.
	OnItem func(Item)
	// OnBlob is called for each layer and configuration: as it is sent, and once
	// with Done when it is at the target.
	OnBlob func(Blob)
	// OnConvert is called for the layers that are fetched to be converted.
	OnConvert func(v1compat.Progress)
}

// Blob is one observation of a layer or configuration on its way.
type Blob struct {
	Descriptor ocispec.Descriptor
	// Offset counts the bytes sent so far.
	Offset int64
	// Done reports that the target has it, and How how it got there.
	Done bool
	How  How
}

// How says what was done for a blob.
type How string

const (
	// Sent means that it was uploaded.
	Sent How = "sent"
	// Mounted means that the target took it from another of its repositories.
	Mounted How = "mounted"
	// Present means that the target had it.
	Present How = "present"
)

// State is what became of a tag.
type State string

const (
	// Copied means that the target now has it. In a dry run it would be copied.
	Copied State = "copied"
	// Identical means that the target had the same image under this tag.
	Identical State = "identical"
	// Undecided means, in a dry run, that the image has to be converted before
	// anything can be said.
	Undecided State = "undecided"
	// Failed means that the error tells why it is not there.
	Failed State = "failed"
)

// Item is what became of one tag.
type Item struct {
	// Name is the tag, or the digest where there is none.
	Name string
	// Source and Target are the references in full.
	Source, Target string
	// Digest is the image's digest, empty if it was not found out.
	Digest digest.Digest
	State  State
	// Replaces is the digest that the tag has at the target, or had before the
	// copy; empty if it was not there.
	Replaces digest.Digest
	// Counts are of the blobs this tag was the first to need.
	Counts Counts
	// Err is set if State is Failed.
	Err error
}

// Counts are numbers of layers and configurations.
type Counts struct {
	// Sent were uploaded, Bytes all together; in a dry run they would be.
	Sent  int
	Bytes int64
	// Mounted were taken by the target from another of its repositories,
	// Present were there.
	Mounted, Present int
	// ToConvert, in a dry run, would have to be fetched and converted first, and
	// would be sent unless the target has what becomes of them. ConvertBytes is
	// what the source says of their sizes: an estimate. Of Unmeasured ones it does
	// not say.
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

// Summary is what became of a copy.
type Summary struct {
	// Items are in the order of their names.
	Items []Item
	// Counts are those of all items.
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

// Copy copies what is requested. The error tells why nothing was begun: a
// request that cannot be understood (errdefs.ErrInvalidArgument), a list of
// tags that cannot be had, a cache that cannot be used. Everything else is in
// the summary's items.
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

// copyAll works on several jobs at a time.
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
