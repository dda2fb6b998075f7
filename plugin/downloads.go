package plugin

import (
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/pkg/reference"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// downloads are what max_concurrent_downloads allows at a time, for each
// registry. containerd has one such limit for all of them: a registry that stops
// in the middle of three layers would keep the machine from pulling anything. The
// zero value is ready.
type downloads struct {
	// mu guards limits.
	mu     sync.Mutex
	limits map[string]*semaphore.Weighted
}

// maxRegistries bounds downloads.limits: clients name them. Those beyond share
// containerd's own limit.
const maxRegistries = 1024

// forRegistry returns the options of a pull with the limit of its registry in
// the place of containerd's own.
func (d *downloads) forRegistry(ref string, options []transfer.ImageResolverOption) []transfer.ImageResolverOption {
	var given transfer.ImageResolverOptions
	for _, option := range options {
		option(&given)
	}
	most := given.Performances.MaxConcurrentDownloads
	if given.DownloadLimiter == nil || most <= 0 {
		return options
	}
	limit := d.limit(registryOf(ref), most)
	if limit == nil {
		return options
	}
	return append(options, transfer.WithDownloadLimiter(limit))
}

func (d *downloads) limit(registry string, most int) *semaphore.Weighted {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := d.limits[registry]
	if limit != nil || len(d.limits) >= maxRegistries {
		return limit
	}
	if d.limits == nil {
		d.limits = map[string]*semaphore.Weighted{}
	}
	limit = semaphore.NewWeighted(int64(most))
	d.limits[registry] = limit
	return limit
}

// repositoryOf returns the name of a reference's repository in its registry.
func repositoryOf(ref string) string {
	spec, err := reference.Parse(ref)
	if err != nil {
		return ""
	}
	_, repository, _ := strings.Cut(spec.Locator, "/")
	return repository
}

// registryOf returns the canonical name of the registry of a reference.
func registryOf(ref string) string {
	spec, err := reference.Parse(ref)
	if err != nil {
		return "" // and nothing will be pulled
	}
	name, err := hostname.Canonical(spec.Hostname())
	if err != nil {
		return spec.Hostname()
	}
	return name
}
