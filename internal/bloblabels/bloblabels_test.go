package bloblabels

import (
	"maps"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// inMemory counts what is saved.
type inMemory struct {
	sets  map[digest.Digest]map[string]string
	saved int
}

func (m *inMemory) Load(d digest.Digest) (map[string]string, error) {
	return maps.Clone(m.sets[d]), nil
}

func (m *inMemory) Save(d digest.Digest, set map[string]string) error {
	m.saved++
	if m.sets[d] = set; len(set) == 0 {
		delete(m.sets, d)
	}
	return nil
}

func TestStore(t *testing.T) {
	t.Parallel()
	d := digest.FromString("blob")
	for name, row := range map[string]struct {
		merge func(old, value string) string
		want  map[string]string
	}{
		"labels are replaced": {nil, map[string]string{"a": "2", "c": "4"}},
		"labels are added to": {func(old, value string) string { return old + "," + value }, map[string]string{"a": "1,2", "b": "3", "c": "4"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := &inMemory{sets: map[digest.Digest]map[string]string{}}
			s := &Store{Keeper: kept, Merge: row.merge}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			must(s.Set(d, map[string]string{"a": "1", "b": "3", "empty": ""}))
			must(s.Set(d, map[string]string{"a": "2"}))
			all, err := s.Update(d, map[string]string{"c": "4"})
			must(err)
			if diff := cmp.Diff(row.want, all); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			saved := kept.saved
			_, err = s.Update(d, map[string]string{"c": "4", "none": ""})
			must(err)
			if kept.saved != saved {
				t.Error("what did not change is saved")
			}
			must(s.Remove(d))
			if got, err := s.Get(d); err != nil || len(got) != 0 || len(kept.sets) != 0 {
				t.Errorf("after it was removed: %v, %v", got, err)
			}
			if _, err := s.Get("sha256:../x"); err == nil {
				t.Error("any text is a digest")
			}
		})
	}
}

func TestChangesTogether(t *testing.T) {
	t.Parallel()
	d := digest.FromString("blob")
	s := &Store{Keeper: &inMemory{sets: map[digest.Digest]map[string]string{}}}
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if _, err := s.Update(d, map[string]string{strconv.Itoa(i): "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if set, err := s.Get(d); err != nil || len(set) != 50 {
		t.Errorf("%d labels, %v", len(set), err)
	}
}
