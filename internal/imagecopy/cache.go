package imagecopy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/opencontainers/go-digest"
	bolt "go.etcd.io/bbolt"
	boltErrors "go.etcd.io/bbolt/errors"

	"github.com/certsd/containerd-certsd/internal/bloblabels"
	"github.com/certsd/containerd-certsd/internal/checkedstore"
	"github.com/certsd/containerd-certsd/internal/jsonwords"
	"github.com/certsd/containerd-certsd/internal/safepath"
)

// Cache holds images of Registry v1 and schema 1 while they are converted: their
// digests are unknown before their layers have been read. It has a directory for each
// repository, used by one copy at a time.
type Cache struct {
	// Dir is the directory. It is created when needed.
	Dir string
	// Keep preserves converted images, so that the next copy fetches only new layers.
	// Otherwise they remain only after a failed copy, for the next one to continue.
	Keep bool
	// Limit bounds the content between two tags in bytes: the oldest is deleted
	// first, and fetched again if needed. Zero means 16 GiB. Layers of tags being
	// copied come on top.
	Limit int64
}

const (
	// lockTimeout is how long to wait for another copy to end.
	lockTimeout = 2 * time.Second
	labelsFile  = "labels.db"
)

func (c *Cache) limit() int64 { return cmp.Or(c.Limit, 16<<30) }

// store is the cache of one repository.
type store struct {
	content.Store
	cache  *Cache
	dir    string
	labels *bloblabels.Store
	db     *bolt.DB
}

// open opens or creates the store of a repository and locks it.
func (c *Cache) open(locator string) (*store, error) {
	s := &store{cache: c, dir: filepath.Join(c.Dir, directoryFor(locator))}
	err := safepath.MkdirAll(s.dir, 0o700)
	if err == nil {
		err = safepath.Tree(s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if s.db, err = openLabels(filepath.Join(s.dir, labelsFile)); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	s.labels = &bloblabels.Store{Keeper: labelDB{s.db}, Merge: joinLists}
	inner, err := local.NewLabeledStore(s.dir, s.labels)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cache: %w", err), s.db.Close())
	}
	s.Store = checkedstore.New(inner)
	return s, nil
}

// directoryFor names the directory of a repository so that people recognize it; the
// hash makes the name unique.
func directoryFor(locator string) string {
	sum := sha256.Sum256([]byte(locator))
	name := strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, locator)
	return fmt.Sprintf("%.100s_%s", strings.TrimLeft(name, "."), hex.EncodeToString(sum[:6]))
}

// close unlocks the store and removes it if it is no longer needed.
func (s *store) close(complete bool) error {
	if complete && !s.cache.Keep {
		// Removed while locked: another process that opens it now waits for the lock
		// of a deleted file, and nobody writes into what is being deleted.
		return errors.Join(os.RemoveAll(s.dir), s.db.Close())
	}
	s.trim()
	return s.db.Close()
}

// contents lists the content of the store, and its total size in bytes.
func (s *store) contents() (all []content.Info, size int64) {
	_ = s.Walk(context.Background(), func(info content.Info) error {
		all = append(all, info)
		size += info.Size
		return nil
	})
	return all, size
}

func (s *store) full() bool {
	_, size := s.contents()
	return size > s.cache.limit()
}

// trim deletes the oldest content beyond the limit. There must be no readers.
func (s *store) trim() {
	all, size := s.contents()
	slices.SortFunc(all, func(a, b content.Info) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for _, info := range all {
		if size <= s.cache.limit() {
			return
		}
		if s.Delete(context.Background(), info.Digest) == nil {
			_ = s.labels.Remove(info.Digest)
			size -= info.Size
		}
	}
}

// labelDB stores the labels that identify layers. Its file is also the lock of the
// directory.
type labelDB struct{ db *bolt.DB }

var labelsBucket = []byte("labels")

func openLabels(path string) (*bolt.DB, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
	if errors.Is(err, boltErrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: another copy from this repository is using it", filepath.Dir(path))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(labelsBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, nil
}

// Load implements bloblabels.Keeper.
func (l labelDB) Load(d digest.Digest) (set map[string]string, err error) {
	err = l.db.View(func(tx *bolt.Tx) error {
		set, err = get(tx, d)
		return err
	})
	return set, err
}

// Save implements bloblabels.Keeper.
func (l labelDB) Save(d digest.Digest, set map[string]string) error {
	return l.db.Update(func(tx *bolt.Tx) error { return put(tx, d, set) })
}

// joinLists merges two values of a label, set for different images with the same
// content.
func joinLists(a, b string) string {
	items := strings.Split(a+","+b, ",")
	slices.Sort(items)
	return strings.Join(slices.Compact(items), ",")
}

func get(tx *bolt.Tx, d digest.Digest) (set map[string]string, err error) {
	value := tx.Bucket(labelsBucket).Get([]byte(d))
	if value == nil {
		return nil, nil
	}
	if err := json.Unmarshal(value, &set); err != nil {
		return nil, fmt.Errorf("labels of %s: %w", d, jsonwords.Of(err))
	}
	return set, nil
}

func put(tx *bolt.Tx, d digest.Digest, set map[string]string) error {
	if len(set) == 0 {
		return tx.Bucket(labelsBucket).Delete([]byte(d))
	}
	value, err := json.Marshal(set)
	if err != nil {
		return err
	}
	return tx.Bucket(labelsBucket).Put([]byte(d), value)
}
