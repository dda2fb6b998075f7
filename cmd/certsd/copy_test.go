package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/internal/imagecopy"
)

func TestWrongUsageOfCopy(t *testing.T) {
	t.Parallel()
	zeros := "@sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"a.test/x:1"}, "copy takes SRC and DST, not 1 arguments"},
		{[]string{"a.test/x:1", "b.test/x", "c.test/x"}, "copy takes SRC and DST, not 3 arguments"},
		{[]string{"a.test/X:1", "b.test/x"}, `"a.test/X:1" is not an image reference`},
		{[]string{"a.test/x:1", "b.test/x" + zeros}, "names a digest, but the image's own is what it will have: name a tag or none"},
		{[]string{"--all-tags", "a.test/x:1", "b.test/x"}, `"a.test/x:1" is not an image reference: give a repository, without tag and digest`},
		{[]string{"--all-tags", "a.test/x", "b.test/x:1"}, `"b.test/x:1" is not an image reference: give a repository, without tag and digest`},
		{[]string{"--tags-matching", "1", "a.test/x" + zeros, "b.test/x"}, "give a repository, without tag and digest"},
		{[]string{"--tags-matching", "(", "a.test/x", "b.test/x"}, "--tags-matching: error parsing regexp"},
		{[]string{"--platform", "a/b/c/d", "a.test/x:1", "b.test/x"}, "--platform: "},
		{[]string{"--jobs", "0", "a.test/x:1", "b.test/x"}, "0 is less than 1"},
		{[]string{"--cache-size", "-1", "a.test/x:1", "b.test/x"}, "-1 is less than 1"},
		{[]string{"a.test/x:1", "a.test/x"}, `source and target are the same, "a.test/x:1"`},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"certsd", "copy"}, tt.args...), &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%q: exit code %d:\n%s", tt.args, code, &errs)
		}
	}
}

// TestUnusableDirectoryOfCopy is exit code 2, as for every command.
func TestUnusableDirectoryOfCopy(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "b.test")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("servre = \"https://b.test\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"a.test/x:1", "b.test/x"},
		{"--all-tags", "b.test/x", "a.test/x"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"certsd", "copy", "--root", root}, args...), &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), "hosts.toml:1: servre: unknown key; did you mean") {
			t.Errorf("%q: exit code %d:\n%s", args, code, &errs)
		}
	}
}

func TestCopyShowsAttempts(t *testing.T) {
	d := newDemo(t)
	showsAttempts(t, []string{"copy", "--root", d.root, "--cache", t.TempDir(), d.ref, d.host + "/demo/copy:1"},
		"HEAD https://"+d.host+"/v2/demo/hello/manifests/1: alpha.cert: 403 Forbidden",
		"PUT https://"+d.host+"/v2/demo/copy/manifests/1: bravo.cert: 201 Created")
}

// TestSummaryOfCopy compares what is said with how it should read.
func TestSummaryOfCopy(t *testing.T) {
	t.Parallel()
	s := &imagecopy.Summary{
		Items: []imagecopy.Item{
			{Name: "1", Digest: "sha256:aa", State: imagecopy.Copied, Counts: imagecopy.Counts{Sent: 2, Bytes: 3 << 20, Mounted: 1, Present: 4}},
			{Name: "2", Digest: "sha256:bb", State: imagecopy.Copied, Replaces: "sha256:cc"},
			{Name: "3", Digest: "sha256:dd", State: imagecopy.Identical, Replaces: "sha256:dd"},
			{Name: "4", State: imagecopy.Undecided},
			{Name: "5", State: imagecopy.Undecided, Replaces: "sha256:ee"},
			{Name: "6", State: imagecopy.Failed, Err: errors.New("a.test/x:6: no")},
			{Name: "7", State: imagecopy.Failed, Err: fmt.Errorf("a.test/x:7: %w", context.Canceled)},
		},
		Counts: imagecopy.Counts{Sent: 2, Bytes: 3 << 20, Mounted: 1, Present: 4},
	}
	var out bytes.Buffer
	shown := &tagLines{out: &out}
	for _, i := range s.Items {
		shown.item(i)
	}
	if err := writeSummary(&out, 0, s, false); err != nil {
		t.Fatal(err)
	}
	const want = `1: sha256:aa copied; 2 layers (3.0 MiB) sent, 1 mounted, 4 there
2: sha256:bb copied in place of sha256:cc; 0 layers (0.0 B) sent
3: sha256:dd is there
4: is not there, and will be converted
5: must be converted before it can be compared with sha256:ee
6: failed
7: failed
7 tags: 2 copied, 1 identical, 2 to be converted first, 2 failed; 2 layers (3.0 MiB) sent, 1 mounted, 4 there
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
	estimated := imagecopy.Item{Name: "8", State: imagecopy.Undecided, Counts: imagecopy.Counts{ToConvert: 5, ConvertBytes: 1 << 20, Unmeasured: 2}}
	out.Reset()
	shown.item(estimated)
	if err := writeSummary(&out, 0, &imagecopy.Summary{Items: []imagecopy.Item{estimated}, Counts: estimated.Counts}, true); err != nil {
		t.Fatal(err)
	}
	const estimate = `8: is not there, and will be converted: an estimate of 5 layers (1.0 MiB, and 2 of unknown size)
1 tag: 0 would be copied, 0 identical, 1 to be converted first, 0 failed; 0 layers (0.0 B) would be sent, and of those to be converted an estimate of 5 layers (1.0 MiB, and 2 of unknown size)
`
	if out.String() != estimate {
		t.Errorf("got\n%s\nwant\n%s", &out, estimate)
	}
	out.Reset()
	digest := digest.FromString("x")
	shown = &tagLines{out: &out, columns: 80}
	shown.item(imagecopy.Item{Name: "1", Digest: digest, State: imagecopy.Copied, Counts: imagecopy.Counts{Sent: 4, Bytes: 1 << 20}})
	shown.item(imagecopy.Item{Name: strings.Repeat("n", 20), Digest: digest, State: imagecopy.Copied, Replaces: digest})
	if err := writeSummary(&out, 80, &imagecopy.Summary{Items: []imagecopy.Item{estimated}, Counts: estimated.Counts}, true); err != nil {
		t.Fatal(err)
	}
	wrapped := "1: " + digest.String() + "\n    copied; 4 layers (1.0 MiB) sent\n" +
		strings.Repeat("n", 20) + ":\n    " + digest.String() + "\n    copied in place of\n    " + digest.String() + "; 0\n    layers (0.0 B) sent\n" +
		"1 tag: 0 would be copied, 0 identical, 1 to be converted first, 0 failed; 0\n" +
		"    layers (0.0 B) would be sent, and of those to be converted an estimate of 5\n    layers (1.0 MiB, and 2 of unknown size)\n"
	if out.String() != wrapped {
		t.Errorf("on a terminal\n%s\nwant\n%s", &out, wrapped)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	const both = "2 of 7 tags failed; the same command tries again:\n6: a.test/x:6: no\n7: a.test/x:7: context canceled"
	if err := copyFailures(ctx, s); err == nil || err.Error() != both {
		t.Errorf("got %v, want %s", err, both)
	}
	interrupt()
	const one = "1 of 7 tags failed; the same command tries again:\n6: a.test/x:6: no\n" +
		"interrupted with 1 of 7 tags not copied; the same command goes on from here"
	if err := copyFailures(ctx, s); err == nil || err.Error() != one {
		t.Errorf("got %v, want %s", err, one)
	}
	s.Items = s.Items[:3]
	if err := copyFailures(ctx, s); err != nil {
		t.Errorf("without failures: %v", err)
	}
}
