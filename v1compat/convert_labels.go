package v1compat

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

const (
	labelUncompressed = labels.LabelUncompressed
	// labelKnown and the source's hash label layers with the fingerprints of the
	// entries they were converted from.
	labelKnown = "certsd/v1."
	// labelEmpty and the source's hash label configs with the fingerprints of entries
	// without content, which have no blob of their own.
	labelEmpty = "certsd/v1-empty."
	// labelImage and the source's hash label manifests converted from an image of
	// that source.
	labelImage = "certsd/v1-image."
	// labelFrom and the source's hash label every blob that a conversion from the
	// source relies on. containerd's own label leaves out scheme and port, and has
	// one list for all repositories, from which it drops those that do not fit.
	labelFrom = "certsd/v1-from."
	// maxLabel is containerd's limit for key and value of a label together.
	maxLabel = 4096
)

// fingerprint identifies an entry of one registry and repository: 128 bits of SHA-256
// over everything known about it before its layer is read.
type fingerprint string

func newFingerprint(fields ...string) fingerprint {
	h := sha256.New()
	for _, field := range fields {
		_ = binary.Write(h, binary.BigEndian, uint64(len(field)))
		_, _ = h.Write([]byte(field))
	}
	return fingerprint(base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]))
}

// Source is where an image comes from. Content of one source is never used for
// another.
type Source struct {
	// Scheme is "http" for content that may have been transferred unprotected;
	// anything else means https.
	Scheme string
	// Registry is host[:port], Repository the name within it.
	Registry, Repository string
	// Reader separates readers of the repository that have credentials of their own.
	// Empty stands for everybody.
	Reader string
}

// origin returns the source of the image.
func (i *Image) origin() Source {
	return Source{Scheme: i.Scheme, Registry: i.Registry, Repository: i.Repository, Reader: i.Reader}
}

// Left reports whether a conversion from the source left this blob in a store.
func (s Source) Left(info content.Info) bool { return info.Labels[newSource(s).fromLabel()] != "" }

// Made reports whether a blob is the manifest of an image converted from the source.
func (s Source) Made(info content.Info) bool { return info.Labels[newSource(s).imageLabel()] != "" }

// fields identify the source in a fingerprint.
func (s Source) fields() []string {
	fields := []string{s.Registry, s.Repository}
	if s.Scheme == "http" {
		fields = []string{"http", s.Registry, s.Repository}
	}
	if s.Reader != "" {
		fields = append(fields, "reader", s.Reader)
	}
	return fields
}

// source is a Source with the fingerprint that names its labels.
type source struct {
	Source
	id fingerprint
}

func newSource(s Source) source {
	return source{s, newFingerprint(append([]string{"source"}, s.fields()...)...)}
}

// fingerprint returns the fingerprint of an entry. A v1 id is not a content hash, and
// some servers reuse it for other content, so everything the server said counts.
func (s source) fingerprint(e *Entry) fingerprint {
	if e.Digest != "" {
		return newFingerprint(slices.Concat([]string{"digest"}, s.fields(), []string{e.Digest.String()})...)
	}
	return newFingerprint(slices.Concat([]string{"id"}, s.fields(),
		[]string{e.ID, string(e.JSON), strconv.FormatInt(e.Size, 10)}, e.Checksums)...)
}

func (s source) knownLabel() string { return labelKnown + string(s.id) }
func (s source) emptyLabel() string { return labelEmpty + string(s.id) }
func (s source) imageLabel() string { return labelImage + string(s.id) }
func (s source) fromLabel() string  { return labelFrom + string(s.id) }

// distributionLabel returns containerd's label for a blob's source, which containerd
// names after the host without its port. It is empty if the registry has no host
// name.
func (s source) distributionLabel() string {
	u, err := url.Parse("dummy://" + s.Registry)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	return labels.LabelDistributionSource + "." + u.Hostname()
}

// labels returns set with the labels of the source, without those containerd refuses.
func (s source) labels(set map[string]string) map[string]string {
	set = maps.Clone(set)
	set[s.fromLabel()] = "true"
	if key := s.distributionLabel(); key != "" && s.Repository != "" {
		set[key] = s.Repository
	}
	maps.DeleteFunc(set, func(key, value string) bool {
		return value == "" || labels.Validate(key, value) != nil
	})
	return set
}

// labelling is held while labels are read and written: concurrent conversions add to
// the same lists, and stores have no transactions. One mutex serves all conversions,
// as the work under it is short.
//
// It is not the lock of internal/bloblabels, which lives in a store and guards its
// files. This one lies outside of any store, including containerd's own, and covers
// two calls, Info and Update: even if a store locks each of them, it loses an item
// that another conversion adds in between.
var labelling sync.Mutex

// label sets labels of a blob. It appends to lists, as other images may share the
// blob. A store without labels is no error.
func (v *conversion) label(ctx context.Context, dgst digest.Digest, set map[string]string) error {
	labelling.Lock()
	defer labelling.Unlock()
	info, err := v.Store.Info(ctx, dgst)
	if err != nil {
		return err
	}
	var fields []string
	for key, value := range set {
		old := info.Labels[key]
		switch key {
		case v.source.distributionLabel():
			value = addSorted(old, value)
		case v.source.knownLabel(), v.source.emptyLabel():
			value = addRecent(old, value, maxLabel-len(key))
		}
		if value == old || labels.Validate(key, value) != nil {
			continue
		}
		if info.Labels == nil {
			info.Labels = map[string]string{}
		}
		info.Labels[key] = value
		fields = append(fields, "labels."+key)
	}
	if len(fields) == 0 {
		return nil
	}
	_, err = v.Store.Update(ctx, info, fields...)
	if errdefs.IsFailedPrecondition(err) || errdefs.IsNotImplemented(err) {
		return nil
	}
	return err
}

// addSorted adds an item to a sorted list, the form in which containerd keeps
// repositories.
func addSorted(list, item string) string {
	items := append(splitList(list), item)
	slices.Sort(items)
	return strings.Join(slices.Compact(items), ",")
}

// addRecent puts items in front of a list, and drops the last ones beyond most bytes.
func addRecent(list, items string, most int) string {
	var kept []string
	length := -1
	for _, item := range append(splitList(items), splitList(list)...) {
		if slices.Contains(kept, item) {
			continue
		}
		if length += 1 + len(item); length > most {
			break
		}
		kept = append(kept, item)
	}
	return strings.Join(kept, ",")
}

func splitList(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
