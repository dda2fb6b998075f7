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
	// inUse is how long after the last request an image stays whatever the
	// limit: between its manifest and the last of its layers a client may take
	// that long.
	inUse = 10 * time.Minute
	// abandoned is how long an unfinished layer is kept to be continued.
	abandoned = 24 * time.Hour
)

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// tidy makes room where the limit is exceeded, and logs what it did.
func (s *Store) tidy(ctx context.Context) {
	freed, err := s.evict(ctx)
	if err != nil {
		log.G(ctx).WithError(err).Warn("certsd gateway: the store of converted images cannot be tidied")
	}
	if freed > 0 {
		log.G(ctx).WithField("bytes", freed).Info("certsd gateway: removed converted images that were not asked for longest")
	}
}

// inventory is what a store holds.
type inventory struct {
	blobs map[digest.Digest]content.Info
	// refs counts the images that have a blob.
	refs  map[digest.Digest]int
	total int64
}

// evict removes what has to go, and returns how many bytes that were.
func (s *Store) evict(ctx context.Context) (freed int64, err error) {
	now := time.Now()
	err = s.dropAbandoned(ctx, now)
	v, walkErr := s.take(ctx)
	if err = errors.Join(err, walkErr); v == nil || s.limit <= 0 || v.total <= s.limit {
		return 0, err
	}
	before := v.total
	// What no image has is left over from a conversion that did not end well.
	for d, info := range v.blobs {
		if !isManifest(info) && v.refs[d] == 0 {
			err = errors.Join(err, s.drop(ctx, v, d, now))
		}
	}
	for _, d := range s.leastRecentlyUsed(v) {
		if v.total <= s.limit {
			break
		}
		err = errors.Join(err, s.dropImage(ctx, v, d, now))
	}
	return before - v.total, err
}

// take goes through the store.
func (s *Store) take(ctx context.Context) (*inventory, error) {
	v := &inventory{blobs: map[digest.Digest]content.Info{}, refs: map[digest.Digest]int{}}
	err := s.Walk(ctx, func(info content.Info) error {
		v.blobs[info.Digest] = info
		v.total += info.Size
		for _, child := range children(info) {
			v.refs[child]++
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // before the first blob
		return nil, err
	}
	statuses, err := s.ListStatuses(ctx)
	for _, status := range statuses {
		v.total += status.Offset
	}
	return v, err
}

// children are the blobs of an image besides its manifest.
func children(info content.Info) []digest.Digest {
	var list []digest.Digest
	for key, value := range info.Labels {
		if strings.HasPrefix(key, labelRefs) {
			list = append(list, digest.Digest(value))
		}
	}
	return list
}

// leastRecentlyUsed are the manifests, in the order in which to remove them.
func (s *Store) leastRecentlyUsed(v *inventory) []digest.Digest {
	last := map[digest.Digest]time.Time{}
	for d, info := range v.blobs {
		if isManifest(info) {
			last[d] = s.lastUsed(info)
		}
	}
	return slices.SortedFunc(maps.Keys(last), func(a, b digest.Digest) int {
		return cmp.Or(last[a].Compare(last[b]), cmp.Compare(a, b))
	})
}

// lastUsed is when an image, or a blob of it, was last asked for or made.
func (s *Store) lastUsed(info content.Info) time.Time {
	last := info.CreatedAt
	if seconds, err := strconv.ParseInt(info.Labels[labelUsed], 10, 64); err == nil && time.Unix(seconds, 0).After(last) {
		last = time.Unix(seconds, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range append(children(info), info.Digest) {
		if used := s.used[d]; used.After(last) {
			last = used
		}
	}
	return last
}

// dropImage removes a manifest, and then what only it had: a manifest that is
// there is always complete.
func (s *Store) dropImage(ctx context.Context, v *inventory, d digest.Digest, now time.Time) error {
	info := v.blobs[d]
	if now.Sub(s.lastUsed(info)) < inUse {
		return nil
	}
	if err := s.drop(ctx, v, d, now); err != nil {
		return err
	}
	if _, kept := v.blobs[d]; kept {
		return nil
	}
	var errs []error
	for _, child := range children(info) {
		if v.refs[child]--; v.refs[child] <= 0 {
			errs = append(errs, s.drop(ctx, v, child, now))
		}
	}
	return errors.Join(errs...)
}

// drop removes a blob unless a conversion relies on it, or has just made it.
func (s *Store) drop(ctx context.Context, v *inventory, d digest.Digest, now time.Time) error {
	info, ok := v.blobs[d]
	if !ok || now.Sub(info.CreatedAt) < inUse {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins[d] > 0 {
		return nil
	}
	if err := s.Delete(ctx, d); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	delete(s.used, d)
	delete(s.verified, d)
	delete(v.blobs, d)
	v.total -= info.Size
	return nil
}

// dropAbandoned removes unfinished layers that nobody continued.
func (s *Store) dropAbandoned(ctx context.Context, now time.Time) error {
	statuses, err := s.ListStatuses(ctx)
	errs := []error{err}
	for _, status := range statuses {
		if now.Sub(status.UpdatedAt) > abandoned {
			errs = append(errs, s.Abort(ctx, status.Ref))
		}
	}
	return errors.Join(errs...)
}
