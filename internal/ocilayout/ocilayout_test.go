package ocilayout_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/internal/ocilayout"
)

func TestMain(m *testing.M) {
	// containerd's store warns of file systems without fs-verity.
	if err := log.SetLevel("fatal"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string) *ocilayout.Layout {
	t.Helper()
	l, err := ocilayout.Open(t.Context(), dir, ocilayout.Options{})
	check(t, err)
	return l
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a blob.
func put(t *testing.T, l *ocilayout.Layout, text string) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Size: int64(len(text))}
	check(t, content.WriteBlob(t.Context(), l.Store(), text, strings.NewReader(text), desc))
	return desc
}

func name(repository, tag string) ocilayout.Name {
	return ocilayout.Name{Tag: tag, Image: repository + ":" + tag, Repository: repository}
}

func TestLayout(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	l := open(t, dir)
	desc := put(t, l, "one")
	check(t, l.Add(t.Context(), desc, name("reg.test/app", "1")))
	check(t, l.Close())
	want := map[string]string{
		"oci-layout": `{"imageLayoutVersion":"1.0.0"}`,
		"index.json": `{
  "manifests": [
    {
      "mediaType": "application/vnd.oci.image.manifest.v1+json",
      "digest": "` + desc.Digest.String() + `",
      "size": 3,
      "annotations": {
        "io.containerd.image.name": "reg.test/app:1",
        "org.opencontainers.image.ref.name": "1"
      }
    }
  ],
  "mediaType": "application/vnd.oci.image.index.v1+json",
  "schemaVersion": 2
}
`,
		"blobs/sha256/" + desc.Digest.Encoded(): "one",
	}
	got := tree(t, dir)
	for path, text := range want {
		if got[path] != text {
			t.Errorf("%s is\n%s\nwant\n%s", path, got[path], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("files: %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "ingest")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ingest directory is left: %v", err)
	}
}

// tree are the files of a directory with their content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		files[rel] = string(data)
		return err
	}))
	return files
}

// TestIndexKeepsWhatOthersWrote holds that fields and images of other programs
// survive, and that a tag without a known repository is replaced.
func TestIndexKeepsWhatOthersWrote(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "oci-layout", `{"imageLayoutVersion": "1.0.0", "other": true}`)
	write(t, dir, "index.json", `{"schemaVersion":2,"annotations":{"a":"b"},"manifests":[
		{"mediaType":"x/y","digest":"sha256:1","size":1,"future":{"c":1}},
		{"mediaType":"x/y","digest":"sha256:2","size":1,"annotations":{"org.opencontainers.image.ref.name":"1"}}]}`)
	l := open(t, dir)
	desc := put(t, l, "one")
	for range 2 {
		check(t, l.Add(t.Context(), desc, name("reg.test/app", "1")))
	}
	check(t, l.Add(t.Context(), desc, ocilayout.Name{Image: "reg.test/app@" + desc.Digest.String(), Repository: "reg.test/app"}))
	check(t, l.Close())
	var compact bytes.Buffer
	check(t, json.Compact(&compact, []byte(tree(t, dir)["index.json"])))
	d := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + desc.Digest.String() + `","size":3,"annotations":{"io.containerd.image.name":`
	want := `{"annotations":{"a":"b"},"manifests":[{"mediaType":"x/y","digest":"sha256:1","size":1,"future":{"c":1}},` +
		d + `"reg.test/app:1","org.opencontainers.image.ref.name":"1"}},` +
		d + `"reg.test/app@` + desc.Digest.String() + `"}}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}`
	if compact.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &compact, want)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

func TestUnusable(t *testing.T) {
	t.Parallel()
	const version = `{"imageLayoutVersion":"1.0.0"}`
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"something else", map[string]string{"notes.txt": ""}, "is neither empty nor an OCI image layout (no oci-layout file): name another directory"},
		{"an index alone", map[string]string{"index.json": "{}"}, "is neither empty nor an OCI image layout (no oci-layout file): name another directory"},
		{"a later version", map[string]string{"oci-layout": `{"imageLayoutVersion":"2.0.0"}`}, `oci-layout: version "2.0.0", where only "1.0.0" is known`},
		{"no version", map[string]string{"oci-layout": `{}`}, `oci-layout: version "", where only "1.0.0" is known`},
		{"a broken oci-layout", map[string]string{"oci-layout": `{`}, "oci-layout: it is not valid JSON: it ends too early"},
		{"a broken index", map[string]string{"oci-layout": version, "index.json": `{"manifests":`}, "index.json: it is not valid JSON: it ends too early"},
		{"an index of null", map[string]string{"oci-layout": version, "index.json": `null`}, "index.json: is not an object"},
		{"an index of other things", map[string]string{"oci-layout": version, "index.json": `{"manifests":[1]}`}, "index.json: it is JSON, but a number where an object belongs"},
		{"broken labels", map[string]string{"oci-layout": version, ".certsd-labels.json": `[]`}, ".certsd-labels.json: it is JSON, but a list where an object belongs: it may be removed"},
		{"a huge index", map[string]string{"oci-layout": version, "index.json": strings.Repeat(" ", 16<<20+1)}, "index.json: is larger than 16 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, text := range tt.files {
				write(t, dir, name, text)
			}
			l, err := ocilayout.Open(t.Context(), dir, ocilayout.Options{})
			if err == nil {
				err = l.Check(name("reg.test/app", "1"))
				check(t, l.Close())
			}
			if !errors.As(err, new(*ocilayout.UnusableError)) || err.Error() != dir+": "+tt.want {
				t.Errorf("got %v\nwant %s: %s", err, dir, tt.want)
			}
			if got := tree(t, dir); len(got) != len(tt.files) {
				t.Errorf("files: %v", got)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	_, err := ocilayout.Open(t.Context(), file, ocilayout.Options{})
	if want := file + ": is a file, and an OCI image layout is a directory: name another one"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// TestEmptyVersionFile is what a kill leaves between creating the file and
// writing it.
func TestEmptyVersionFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "oci-layout", "")
	l := open(t, dir)
	check(t, l.Add(t.Context(), put(t, l, "one"), name("reg.test/app", "1")))
	check(t, l.Close())
	if got := tree(t, dir)["oci-layout"]; got != `{"imageLayoutVersion":"1.0.0"}` {
		t.Errorf("got %s", got)
	}
}

func TestNothingIsLeftOfNothing(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	check(t, open(t, filepath.Join(parent, "new")).Close())
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	check(t, open(t, parent).Close())
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
	l := open(t, parent)
	put(t, l, "something")
	if !l.Unfinished(t.Context()) {
		t.Error("a blob without an index is nothing unfinished")
	}
	check(t, l.Close())
	if got := slices.Sorted(keys(tree(t, parent))); len(got) != 2 {
		t.Errorf("files: %v", got)
	}
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "app")
	first := open(t, dir)
	waiting, ctx := make(chan struct{}), t.Context()
	opened := make(chan error)
	var second *ocilayout.Layout
	go func() {
		var err error
		second, err = ocilayout.Open(ctx, dir, ocilayout.Options{OnWait: func() { close(waiting) }})
		opened <- err
	}()
	<-waiting
	// The first one leaves nothing, so that the directory is made a second time.
	check(t, first.Close())
	check(t, <-opened)
	check(t, second.Add(ctx, put(t, second, "one"), name("reg.test/app", "1")))

	canceled, cancel := context.WithCancel(ctx)
	_, err := ocilayout.Open(canceled, dir, ocilayout.Options{OnWait: cancel})
	if want := dir + ": another process is writing there: context canceled"; err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	check(t, second.Close())
	if got := tree(t, dir); got["index.json"] == "" || got["oci-layout"] == "" {
		t.Errorf("files: %v", got)
	}
}

// TestPartsOfOtherImages are kept for a day.
func TestPartsOfOtherImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	for _, ref := range []string{"old", "young"} {
		w, err := l.Store().Writer(t.Context(), content.WithRef(ref))
		check(t, err)
		_, err = w.Write([]byte(ref))
		check(t, errors.Join(err, w.Close()))
	}
	age(t, dir, "old", 25*time.Hour)
	desc := put(t, l, "one")
	check(t, l.Add(t.Context(), desc, name("reg.test/app", "1")))
	list, err := l.Store().ListStatuses(t.Context())
	check(t, err)
	if len(list) != 1 || list[0].Ref != "young" {
		t.Errorf("kept: %+v", list)
	}
	age(t, dir, "young", 25*time.Hour)
	check(t, l.Add(t.Context(), desc, name("reg.test/app", "1")))
	check(t, l.Close())
	if _, err := os.Stat(filepath.Join(dir, "ingest")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ingest directory is left: %v", err)
	}
}

// TestRemainsOfAKill are an ingest whose blob is in its place already, and one
// that has only begun.
func TestRemainsOfAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	w, err := l.Store().Writer(t.Context(), content.WithRef("part"))
	check(t, err)
	_, err = w.Write([]byte("part"))
	check(t, errors.Join(err, w.Close(), l.Close()))
	for _, ref := range []string{"placed", "begun"} {
		check(t, os.Mkdir(filepath.Join(dir, "ingest", ref), 0o700))
		write(t, filepath.Join(dir, "ingest", ref), "ref", ref)
	}
	l = open(t, dir)
	list, err := l.Store().ListStatuses(t.Context())
	check(t, errors.Join(err, l.Close()))
	if len(list) != 1 || list[0].Ref != "part" {
		t.Errorf("kept: %+v", list)
	}
}

// age makes a part of a blob older.
func age(t *testing.T, dir, ref string, by time.Duration) {
	t.Helper()
	ingest := filepath.Join(dir, "ingest", digest.FromString(ref).Encoded())
	then := time.Now().Add(-by)
	text, err := then.MarshalText()
	check(t, err)
	write(t, ingest, "updatedat", string(text))
	check(t, os.Chtimes(filepath.Join(ingest, "data"), then, then))
}

// TestLabelsLast holds that a later process knows which blob was converted
// from what.
func TestLabelsLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := open(t, dir)
	desc := put(t, l, "one")
	_, err := l.Store().Update(t.Context(), content.Info{Digest: desc.Digest, Labels: map[string]string{"a": "b", "c": "d"}}, "labels.a", "labels.c")
	check(t, err)
	_, err = l.Store().Update(t.Context(), content.Info{Digest: desc.Digest}, "labels.c")
	check(t, errors.Join(err, l.Close()))
	l = open(t, dir)
	info, err := l.Store().Info(t.Context(), desc.Digest)
	check(t, errors.Join(err, l.Close()))
	if len(info.Labels) != 1 || info.Labels["a"] != "b" {
		t.Errorf("labels: %v", info.Labels)
	}
}

// FuzzIndex holds that whatever an index.json is, an image can be added to it
// or it is refused.
func FuzzIndex(f *testing.F) {
	for _, s := range []string{`{}`, `{"manifests":null}`, `{"manifests":[{}]}`, `{"manifests":[null,1]}`, `[]`, `null`, `{"schemaVersion":"x","mediaType":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		write(t, dir, "oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
		write(t, dir, "index.json", string(data))
		l, err := ocilayout.Open(t.Context(), dir, ocilayout.Options{})
		if err != nil {
			return
		}
		defer l.Close()
		desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}
		if err := l.Add(t.Context(), desc, name("reg.test/app", "1")); err != nil {
			if !errors.As(err, new(*ocilayout.UnusableError)) {
				t.Errorf("%q: %v", data, err)
			}
			return
		}
		var idx ocispec.Index
		err = json.Unmarshal([]byte(tree(t, dir)["index.json"]), &idx)
		if last := len(idx.Manifests) - 1; err == nil && idx.Manifests[last].Digest != desc.Digest {
			t.Errorf("%q became %s", data, tree(t, dir)["index.json"])
		}
	})
}
