package gateway

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
)

const (
	// inUse is how long an image stays after its last request, whatever the limit: a
	// client may take that long between the manifest and the last layer.
	inUse = 10 * time.Minute
	// justUsed replaces inUse if a conversion needs the room now.
	justUsed = time.Minute
	// abandoned is how long the remains of a failed conversion are kept to be
	// continued, if there is room.
	abandoned = 24 * time.Hour
)

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// tidy makes room if the limit is exceeded, and logs what it did.
func (r *room) tidy(ctx context.Context) {
	freed, err := r.evict(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Warn("certsd gateway: the store of converted images cannot be cleaned up")
	}
	if freed > 0 {
		log.G(ctx).WithField("bytes", freed).Info("certsd gateway: removed the converted images that went unused for longest")
	}
}

// inventory is what a store holds.
type inventory struct {
	blobs map[digest.Digest]content.Info
	// refs counts the images that have a blob.
	refs  map[digest.Digest]int
	total int64
}

// evict removes what exceeds the limit, and returns the number of bytes freed.
func (r *room) evict(ctx context.Context) (freed int64, err error) {
	freed, _, err = r.makeRoom(ctx, 0, inUse)
	return freed, err
}

// makeRoom removes what is abandoned, and then as much as need more bytes require:
// first the remains of failed conversions, then images unused for idle. total is what
// is stored afterwards.
func (r *room) makeRoom(ctx context.Context, need int64, idle time.Duration) (freed, total int64, err error) {
	v, err := take(ctx, r.store)
	if v == nil {
		return 0, 0, err
	}
	before := v.total
	err = errors.Join(err, r.dropUnfinished(ctx, v, abandoned), r.dropOrphans(ctx, v, abandoned))
	fits := func() bool { return r.limit <= 0 || v.total+need <= r.limit }
	if !fits() {
		err = errors.Join(err, r.dropOrphans(ctx, v, 0))
	}
	if !fits() {
		err = errors.Join(err, r.dropUnfinished(ctx, v, 0))
	}
	for _, d := range v.leastRecentlyUsed(&r.store.holds) {
		if fits() {
			break
		}
		err = errors.Join(err, r.dropImage(ctx, v, d, idle))
	}
	return before - v.total, v.total, err
}

// dropOrphans removes blobs that belong to no image: they are left over from a
// failed conversion or a removed image.
func (r *room) dropOrphans(ctx context.Context, v *inventory, age time.Duration) (err error) {
	for d, info := range v.blobs {
		if !isManifest(info) && v.refs[d] == 0 && time.Since(info.CreatedAt) >= age {
			err = errors.Join(err, r.drop(ctx, v, d))
		}
	}
	return err
}

// dropUnfinished removes partial layers that were not continued for age.
func (r *room) dropUnfinished(ctx context.Context, v *inventory, age time.Duration) error {
	statuses, err := r.store.ListStatuses(ctx)
	errs := []error{err}
	for _, status := range statuses {
		if time.Since(status.UpdatedAt) < age {
			continue
		}
		errs = append(errs, r.store.holds.aborting(status.Ref, func() error {
			err := r.store.Abort(ctx, status.Ref)
			switch {
			case err == nil:
				v.total -= status.Offset
			case errdefs.IsNotFound(err):
				return nil
			}
			return err
		}))
	}
	return errors.Join(errs...)
}

// take returns the inventory of a store.
func take(ctx context.Context, store content.Store) (*inventory, error) {
	v := &inventory{blobs: map[digest.Digest]content.Info{}, refs: map[digest.Digest]int{}}
	err := store.Walk(ctx, func(info content.Info) error {
		v.blobs[info.Digest] = info
		v.total += info.Size
		for _, child := range children(info) {
			v.refs[child]++
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // there is no blob yet
		return nil, err
	}
	statuses, err := store.ListStatuses(ctx)
	for _, status := range statuses {
		v.total += status.Offset
	}
	return v, err
}

// children returns the blobs of an image other than its manifest.
func children(info content.Info) []digest.Digest {
	var list []digest.Digest
	for key, value := range info.Labels {
		if strings.HasPrefix(key, labelRefs) {
			list = append(list, digest.Digest(value))
		}
	}
	return list
}

// leastRecentlyUsed returns the manifests in the order of removal.
func (v *inventory) leastRecentlyUsed(h *holds) []digest.Digest {
	last := map[digest.Digest]time.Time{}
	for d, info := range v.blobs {
		if isManifest(info) {
			last[d] = lastUsed(h, info)
		}
	}
	return slices.SortedFunc(maps.Keys(last), func(a, b digest.Digest) int {
		return cmp.Or(last[a].Compare(last[b]), cmp.Compare(a, b))
	})
}

// lastUsed returns when an image or one of its blobs was last requested or made: now,
// if a client is reading one.
func lastUsed(h *holds, info content.Info) time.Time {
	last := info.CreatedAt
	if seconds, err := strconv.ParseInt(info.Labels[labelUsed], 10, 64); err == nil && time.Unix(seconds, 0).After(last) {
		last = time.Unix(seconds, 0)
	}
	return h.lastUsed(last, append(children(info), info.Digest)...)
}

// dropImage removes a manifest, and then the blobs that only it had, so that an
// existing manifest is always complete.
func (r *room) dropImage(ctx context.Context, v *inventory, d digest.Digest, idle time.Duration) error {
	info := v.blobs[d]
	if time.Since(lastUsed(&r.store.holds, info)) < idle {
		return nil
	}
	if err := r.drop(ctx, v, d); err != nil {
		return err
	}
	if _, kept := v.blobs[d]; kept {
		return nil
	}
	var errs []error
	for _, child := range children(info) {
		if v.refs[child]--; v.refs[child] <= 0 {
			errs = append(errs, r.drop(ctx, v, child))
		}
	}
	return errors.Join(errs...)
}

// drop removes a blob unless a conversion relies on it or a client is reading it.
func (r *room) drop(ctx context.Context, v *inventory, d digest.Digest) error {
	info, ok := v.blobs[d]
	if !ok {
		return nil
	}
	return r.store.holds.removing(d, func() error {
		if err := r.store.Delete(ctx, d); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
		delete(v.blobs, d)
		v.total -= info.Size
		return nil
	})
}
