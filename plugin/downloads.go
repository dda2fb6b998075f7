package plugin

import (
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/transfer"
	"github.com/containerd/containerd/v2/pkg/reference"
	"golang.org/x/sync/semaphore"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// downloads applies max_concurrent_downloads to each registry separately. containerd
// has one limit for all of them: a registry that stalls in three layers would keep
// the machine from pulling anything. The zero value is ready to use.
type downloads struct {
	// mu guards limits.
	mu     sync.Mutex
	limits map[string]*semaphore.Weighted
}

// maxRegistries bounds downloads.limits, whose keys clients choose. Registries beyond
// it share containerd's own limit.
const maxRegistries = 1024

// forRegistry returns the options of a pull with the registry's limit in place of
// containerd's own.
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

// repositoryOf returns the repository of a reference, without the registry.
func repositoryOf(ref string) string {
	spec, err := reference.Parse(ref)
	if err != nil {
		return ""
	}
	_, repository, _ := strings.Cut(spec.Locator, "/")
	return repository
}

// registryOf returns the canonical name of a reference's registry.
func registryOf(ref string) string {
	spec, err := reference.Parse(ref)
	if err != nil {
		return "" // the pull will fail
	}
	name, err := hostname.Canonical(spec.Hostname())
	if err != nil {
		return spec.Hostname()
	}
	return name
}
