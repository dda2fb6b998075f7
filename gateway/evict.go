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
	// justUsed is the same where a conversion needs the room now.
	justUsed = time.Minute
	// abandoned is how long what a failed conversion has left is kept to be
	// continued, where there is room.
	abandoned = 24 * time.Hour
)

func unixText(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// tidy makes room where the limit is exceeded, and logs what it did.
func (s *imageStore) tidy(ctx context.Context) {
	freed, err := s.evict(ctx)
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

// evict removes what has to go, and returns how many bytes that were.
func (s *imageStore) evict(ctx context.Context) (freed int64, err error) {
	freed, _, err = s.makeRoom(ctx, 0, inUse)
	return freed, err
}

// makeRoom removes what is abandoned, and then as much as has to go for need bytes
// more: first what failed conversions have left, then images that nobody has used
// since idle ago. total is what there is then.
func (s *imageStore) makeRoom(ctx context.Context, need int64, idle time.Duration) (freed, total int64, err error) {
	v, err := s.take(ctx)
	if v == nil {
		return 0, 0, err
	}
	before := v.total
	err = errors.Join(err, s.dropUnfinished(ctx, v, abandoned), s.dropOrphans(ctx, v, abandoned))
	fits := func() bool { return s.limit <= 0 || v.total+need <= s.limit }
	if !fits() {
		err = errors.Join(err, s.dropOrphans(ctx, v, 0))
	}
	if !fits() {
		err = errors.Join(err, s.dropUnfinished(ctx, v, 0))
	}
	for _, d := range s.leastRecentlyUsed(v) {
		if fits() {
			break
		}
		err = errors.Join(err, s.dropImage(ctx, v, d, idle))
	}
	return before - v.total, v.total, err
}

// dropOrphans removes what no image has: it is left over from a conversion that
// did not end well, or from an image that has gone.
func (s *imageStore) dropOrphans(ctx context.Context, v *inventory, age time.Duration) (err error) {
	for d, info := range v.blobs {
		if !isManifest(info) && v.refs[d] == 0 && time.Since(info.CreatedAt) >= age {
			err = errors.Join(err, s.drop(ctx, v, d))
		}
	}
	return err
}

// dropUnfinished removes parts of layers that nobody has continued for so long.
func (s *imageStore) dropUnfinished(ctx context.Context, v *inventory, age time.Duration) error {
	statuses, err := s.ListStatuses(ctx)
	errs := []error{err}
	for _, status := range statuses {
		s.mu.Lock()
		if s.writing[status.Ref] == 0 && time.Since(status.UpdatedAt) >= age {
			if err := s.Abort(ctx, status.Ref); err == nil {
				v.total -= status.Offset
			} else if !errdefs.IsNotFound(err) {
				errs = append(errs, err)
			}
		}
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// take goes through the store.
func (s *imageStore) take(ctx context.Context) (*inventory, error) {
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
func (s *imageStore) leastRecentlyUsed(v *inventory) []digest.Digest {
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

// lastUsed is when an image, or a blob of it, was last asked for or made: now, if
// a client reads one.
func (s *imageStore) lastUsed(info content.Info) time.Time {
	last := info.CreatedAt
	if seconds, err := strconv.ParseInt(info.Labels[labelUsed], 10, 64); err == nil && time.Unix(seconds, 0).After(last) {
		last = time.Unix(seconds, 0)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range append(children(info), info.Digest) {
		if s.readers[d] > 0 {
			return time.Now()
		}
		if used := s.used[d]; used.After(last) {
			last = used
		}
	}
	return last
}

// dropImage removes a manifest, and then what only it had: a manifest that is
// there is always complete.
func (s *imageStore) dropImage(ctx context.Context, v *inventory, d digest.Digest, idle time.Duration) error {
	info := v.blobs[d]
	if time.Since(s.lastUsed(info)) < idle {
		return nil
	}
	if err := s.drop(ctx, v, d); err != nil {
		return err
	}
	if _, kept := v.blobs[d]; kept {
		return nil
	}
	var errs []error
	for _, child := range children(info) {
		if v.refs[child]--; v.refs[child] <= 0 {
			errs = append(errs, s.drop(ctx, v, child))
		}
	}
	return errors.Join(errs...)
}

// drop removes a blob unless a conversion relies on it or a client reads it.
func (s *imageStore) drop(ctx context.Context, v *inventory, d digest.Digest) error {
	info, ok := v.blobs[d]
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pins[d] > 0 || s.readers[d] > 0 {
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
