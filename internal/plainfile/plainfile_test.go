//go:build unix

package plainfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// What is no regular file is refused at once, also behind a link: a pipe that
// nobody writes to, a device without an end.
func TestRefusedAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, make([]byte, plainfile.Most+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]string{
		pipe:        "is not a regular file",
		"/dev/zero": "is not a regular file",
		"/dev/tty":  "is not a regular file",
		dir:         "is a directory",
		large:       "is larger than 4 MiB",
		dir + "/-":  "no such file or directory",
	} {
		link := filepath.Join(dir, "link-to-"+strings.ReplaceAll(target, "/", "_"))
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		for how, read := range map[string]func() ([]byte, error){
			"Read":     func() ([]byte, error) { return plainfile.Read(target) },
			"a link":   func() ([]byte, error) { return plainfile.Read(link) },
			"ReadText": func() ([]byte, error) { return plainfile.ReadText(link) },
			"ReadFS":   func() ([]byte, error) { return plainfile.ReadFS(os.DirFS(dir), filepath.Base(link)) },
		} {
			data, err := read()
			var path *fs.PathError
			if !errors.As(err, &path) || path.Err.Error() != want || data != nil {
				t.Errorf("%s of %s: %d bytes, %v; want %s", how, target, len(data), err, want)
			}
		}
		if target == pipe {
			if _, err := plainfile.ReadRoot(root, "pipe"); !errors.Is(err, plainfile.ErrIrregular) {
				t.Errorf("ReadRoot: %v", err)
			}
		}
	}
}

func TestReadFS(t *testing.T) {
	t.Parallel()
	data, err := plainfile.ReadFS(fstest.MapFS{"f": {Data: []byte("x")}}, "f")
	if string(data) != "x" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		"":                     "",
		"a = 1":                "a = 1",
		"\xef\xbb\xbfa = 1":    "a = 1",
		"\xff\xfea\x00":        "error: is text in UTF-16, not in UTF-8: convert it with iconv -f UTF-16 -t UTF-8 '/d/a file' >'/d/a file.new' && mv '/d/a file.new' '/d/a file'",
		"\xfe\xff\x00a":        "error: is text in UTF-16, not in",
		"\xff\xfe\x00\x00a":    "error: is text in UTF-32, not in",
		"a\x00 \x00=\x00 \x00": "error: is text in UTF-16LE, not in",
		"\x00a\x00 \x00=\x00 ": "error: is text in UTF-16BE, not in",
		"#\x00 \x00\xfc\x00\n\x00s\x00e\x00r\x00v\x00e\x00r\x00 \x00=\x00": "error: is text in UTF-16LE, not in",
		"\x00#\x00 \x20\x1c\x00\n\x00s\x00e\x00r\x00v\x00e\x00r\x00 \x00=": "error: is text in UTF-16BE, not in",
		"a\x00\x00\x00b\x00\x00\x00":                                       "error: is text in UTF-32LE, not in",
		"\x00\x00\x00a\x00\x00\x00b":                                       "error: is text in UTF-32BE, not in",
		"\x00\x01\x00\x02\x00\x01\x00\x02":                                 "\x00\x01\x00\x02\x00\x01\x00\x02",
		"a\x00":                                                            "a\x00",
		"a\x00b\x00c\x00\xe9d":                                             "a\x00b\x00c\x00\xe9d",
	} {
		text, err := plainfile.Text("/d/a file", []byte(data))
		got := string(text)
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want && !(err != nil && want != "" && strings.HasPrefix(got, want)) {
			t.Errorf("%q: %s\nwant: %s", data, got, want)
		}
	}
}
