package hostdir

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReloadFileWithItsOldTime(t *testing.T) {
	t.Parallel()
	// cp -p in place: the same inode, size and time of modification.
	root := tree(t, "reg/ca.crt", testCA.PEM)
	path := filepath.Join(root, "reg", "ca.crt")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	h, _, _ := counted(root)
	if _, err := h.Lookup("reg"); err != nil {
		t.Fatal(err)
	}
	// Write until the clock behind the file system has moved on.
	for moved := false; !moved; {
		replaced := append([]byte{}, testCA.PEM...)
		copy(replaced, "-----BEGIN CERTIFICATX")
		if err := os.WriteFile(path, replaced, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		now, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		moved = !changeTime(now).Equal(changeTime(info))
	}
	host, err := h.Lookup("reg")
	if err != nil || len(host.Warnings) != 1 {
		t.Errorf("the change is not seen: %v, %v", host.Warnings, err)
	}
}
