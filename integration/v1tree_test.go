//go:build linux

package integration

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/ulikunitz/xz"
)

// v1Layer is a layer of a v1 image: what is stored, and what it does to the
// configuration.
type v1Layer struct {
	comment string
	layer   []byte
	cmd     []string
}

// v1treeCmd writes images as a tree of files that is a Registry v1 when a web
// server serves it: v1tree DIR NAME:TAG...
//
// Each image is busybox in four layers: gzip, an empty tar in no compression,
// xz, and gzip with a whiteout. Run, it prints "hello from NAME:TAG" and lists
// its root directory, where "removed" is missing. The first two layers are the
// same for all.
func (r *rig) v1treeCmd(ts *testscript.TestScript, neg bool, args []string) {
	const usage = "v1tree DIR NAME:TAG..."
	noNeg(ts, neg, usage)
	if len(args) < 2 {
		ts.Fatalf("usage: %s", usage)
	}
	program, err := lookPath("busybox")
	ts.Check(err)
	busybox, err := os.ReadFile(program)
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	tags := map[string]map[string]string{}
	for _, image := range args[1:] {
		repo, tag, ok := strings.Cut(image, ":")
		if !ok {
			ts.Fatalf("usage: %s", usage)
		}
		id, err := writeV1Images(dir, v1Layers(busybox, "hello from "+image))
		ts.Check(err)
		if tags[repo] == nil {
			tags[repo] = map[string]string{}
		}
		tags[repo][tag] = id
	}
	ts.Check(writeV1Repositories(dir, tags))
}

// v1Layers are the layers of the image, base first.
func v1Layers(busybox []byte, greeting string) []v1Layer {
	shell := []string{"/bin/sh"}
	return []v1Layer{
		{comment: "busybox", layer: gzipped(rootfs(busybox)), cmd: nil},
		{comment: "set the command", layer: tarOf(), cmd: shell},
		{comment: "two files", layer: xzipped(tarOf(
			tarFile("greeting", []byte(greeting+"\n"), 0o644),
			tarFile("removed", []byte("not to be seen\n"), 0o644),
		)), cmd: shell},
		{
			comment: "one file less", layer: gzipped(tarOf(tarFile(".wh.removed", nil, 0o644))),
			cmd: []string{"/bin/sh", "-c", "cat /greeting; ls /"},
		},
	}
}

// writeV1Images lays out the history of an image and returns the id of its
// last.
func writeV1Images(dir string, layers []v1Layer) (string, error) {
	var ids []string // leaf first
	for _, l := range layers {
		id := v1ID(ids, l)
		config := map[string]any{
			"id":           id,
			"created":      "2014-10-01T20:46:07.263351912Z",
			"architecture": runtime.GOARCH,
			"os":           "linux",
			"comment":      l.comment,
			"config":       map[string]any{"Cmd": l.cmd, "Env": []string{"PATH=/bin"}},
			"Size":         len(l.layer),
		}
		if len(ids) > 0 {
			config["parent"] = ids[0]
		}
		ids = append([]string{id}, ids...)
		files := map[string]any{"json": config, "ancestry": ids, "layer": l.layer}
		if err := writeFiles(filepath.Join(dir, "v1/images", id), files); err != nil {
			return "", err
		}
	}
	return ids[0], nil
}

// writeV1Repositories lays out repositories as docker asks for them: the index
// under the repository's own name, the tags under library/ where it has no
// namespace.
func writeV1Repositories(dir string, repositories map[string]map[string]string) error {
	files := map[string]any{"_ping": true}
	for repo, tags := range repositories {
		library := repo
		if !strings.Contains(repo, "/") {
			library = "library/" + repo
		}
		var index []map[string]string
		for _, tag := range slices.Sorted(maps.Keys(tags)) {
			index = append(index, map[string]string{"id": tags[tag], "Tag": tag})
		}
		files["repositories/"+repo+"/images"] = index
		files["repositories/"+library+"/images"] = index
		files["repositories/"+library+"/tags"] = tags
	}
	return writeFiles(filepath.Join(dir, "v1"), files)
}

// v1ID is an id as good as any: v1 ids say nothing of the content.
func v1ID(parents []string, l v1Layer) string {
	h := sha256.New()
	for _, p := range parents {
		h.Write([]byte(p))
	}
	h.Write([]byte(l.comment))
	h.Write(l.layer)
	return hex.EncodeToString(h.Sum(nil))
}

// writeFiles writes bytes as they are and anything else as JSON.
func writeFiles(dir string, files map[string]any) error {
	for name, content := range files {
		b, ok := content.([]byte)
		if !ok {
			var err error
			if b, err = json.Marshal(content); err != nil {
				return err
			}
		}
		if err := writeFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(b); err != nil {
		panic(err) // memory takes everything
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func xzipped(b []byte) []byte {
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}
