package plugin

import (
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/transfer"
	"golang.org/x/sync/semaphore"
)

// TestRegistriesShareNoDownloads has one registry take all places it has.
func TestRegistriesShareNoDownloads(t *testing.T) {
	t.Parallel()
	own := semaphore.NewWeighted(3)
	stock := []transfer.ImageResolverOption{transfer.WithMaxConcurrentDownloads(3), transfer.WithDownloadLimiter(own)}
	var d downloads
	of := func(ref string, options ...transfer.ImageResolverOption) *semaphore.Weighted {
		var got transfer.ImageResolverOptions
		for _, option := range d.forRegistry(ref, options) {
			option(&got)
		}
		return got.DownloadLimiter
	}
	first := of("reg.test/app:1", stock...)
	if !first.TryAcquire(3) || first.TryAcquire(1) {
		t.Error("a registry has other than three places")
	}
	if of("REG.test./other:2", stock...) != first {
		t.Error("another name of the registry has places of its own")
	}
	for _, ref := range []string{"other.test/app:1", "reg.test:5000/app:1"} {
		if !of(ref, stock...).TryAcquire(3) {
			t.Errorf("%s has not all its places", ref)
		}
	}
	if !own.TryAcquire(3) {
		t.Error("containerd's own limit was used")
	}
	if of("reg.test/app:1") != nil {
		t.Error("a limit that nobody has set")
	}
	for i := range 2 * maxRegistries {
		of(fmt.Sprintf("n%d.test/app:1", i), stock...)
	}
	if len(d.limits) > maxRegistries {
		t.Errorf("%d registries are remembered", len(d.limits))
	}
	if of("one-too-many.test/app:1", stock...) != own {
		t.Error("beyond those remembered, containerd's own limit holds")
	}
}
