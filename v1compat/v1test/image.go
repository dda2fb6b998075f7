package v1test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
)

// Layer describes one image of a history: what its JSON says and the layer it
// has on its parent.
type Layer struct {
	// Data is the layer as stored; see [Tar] and [Gzip].
	Data []byte
	// ID defaults to 64 hex digits made from the parent's and the content.
	ID string
	// Fields are merged into the image's JSON; nil values remove a field.
	Fields map[string]any
	// JSON replaces the image's JSON.
	JSON []byte
}

// Image is one image of a history as the registry has it.
type Image struct {
	ID       string
	JSON     []byte
	Data     []byte
	Ancestry []string // the image itself first
}

// Checksum returns the payload checksum of docker 0.9 and later, "sha256:<hex>".
func (i *Image) Checksum() string {
	h := sha256.New()
	h.Write(i.JSON)
	h.Write([]byte("\n"))
	h.Write(i.Data)
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Add puts an image into a repository under a tag and returns its history,
// base first as the layers are given. The repository has its full name,
// library/busybox for busybox, unless the server has [LibraryExact].
func (s *Server) Add(repository, tag string, layers ...Layer) []*Image {
	images := Build(layers...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, img := range images {
		s.images[img.ID] = img
	}
	if s.repositories[repository] == nil {
		s.repositories[repository] = map[string]string{}
	}
	if len(images) > 0 {
		s.repositories[repository][tag] = images[len(images)-1].ID
	}
	return images
}

// SetTag makes a tag name any id, right or wrong.
func (s *Server) SetTag(repository, tag, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.repositories[repository] == nil {
		s.repositories[repository] = map[string]string{}
	}
	s.repositories[repository][tag] = id
}

// Change edits an image under the server's lock.
func (s *Server) Change(id string, edit func(*Image)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A copy, as requests in progress read the old one without the lock.
	img := *s.images[id]
	edit(&img)
	s.images[id] = &img
}

// Build makes the images of a history, base first.
func Build(layers ...Layer) []*Image {
	var images []*Image
	parent := ""
	for i, layer := range layers {
		img := &Image{ID: layer.ID, JSON: layer.JSON, Data: layer.Data}
		if img.ID == "" {
			sum := sha256.Sum256(slices.Concat([]byte(parent), []byte{byte(i)}, layer.Data))
			img.ID = hex.EncodeToString(sum[:])
		}
		if img.JSON == nil {
			img.JSON = imageJSON(img.ID, parent, layer)
		}
		img.Ancestry = []string{img.ID}
		if i > 0 {
			img.Ancestry = append(img.Ancestry, images[i-1].Ancestry...)
		}
		images = append(images, img)
		parent = img.ID
	}
	return images
}

func imageJSON(id, parent string, layer Layer) []byte {
	fields := map[string]any{
		"id":               id,
		"created":          "2014-05-06T07:08:09.123456789Z",
		"docker_version":   "1.3.0",
		"architecture":     "amd64",
		"os":               "linux",
		"config":           map[string]any{"Cmd": []string{"/bin/sh"}},
		"container_config": map[string]any{"Cmd": []string{"/bin/sh", "-c", "#(nop) ADD file in /"}},
		"Size":             len(layer.Data),
	}
	if parent != "" {
		fields["parent"] = parent
	}
	maps.Copy(fields, layer.Fields)
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil })
	b, err := json.Marshal(fields)
	if err != nil {
		panic("v1test: " + err.Error()) // a Fields value that is no JSON
	}
	return b
}

// Tar makes a tar archive of regular files, in the order of their names.
func Tar(files map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		hdr := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		check(w.WriteHeader(hdr))
		_, err := w.Write([]byte(files[name]))
		check(err)
	}
	check(w.Close())
	return b.Bytes()
}

// Gzip compresses data.
func Gzip(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	check(err)
	check(w.Close())
	return b.Bytes()
}

func check(err error) {
	if err != nil {
		panic("v1test: " + err.Error())
	}
}
