package hostdir

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExamine(t *testing.T) {
	t.Parallel()
	root := tree(t, "a.cert", alphaPair.CertPEM, "a.key", alphaPair.KeyPEM, "both.cert", string(alphaPair.CertPEM)+string(alphaPair.KeyPEM),
		"e.key", encryptedLegacy(), "bad.key", "-----BEGIN PRIVATE KEY-----\neA==\n-----END PRIVATE KEY-----\n", "text", "nothing", "dir/", nil)
	h := &Hosts{}
	var got []string
	for _, name := range []string{"a.cert", "a.key", "both.cert", "e.key", "bad.key", "text"} {
		f := h.Examine(filepath.Join(root, name))
		words := []string{name}
		for _, cert := range f.Certificates {
			words = append(words, cert.Subject.CommonName, KeyType(cert))
		}
		if f.Key != "" {
			words = append(words, "key", f.Key)
		}
		if f.HasKeyOf(alphaPair.Cert) {
			words = append(words, "of alpha")
		}
		if f.HasKeyOf(betaPair.Cert) || f.Err != nil || f.Mode.Perm() != 0o600 {
			t.Errorf("%s: %+v", name, f)
		}
		got = append(got, strings.Join(words, " "))
	}
	if diff := cmp.Diff([]string{
		"a.cert alpha ECDSA P-256", "a.key key ECDSA P-256 of alpha", "both.cert alpha ECDSA P-256 key ECDSA P-256 of alpha",
		"e.key key encrypted", "bad.key key unreadable", "text",
	}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if f := h.Examine(filepath.Join(root, "none")); !errors.Is(f.Err, fs.ErrNotExist) {
		t.Errorf("no file: %+v", f)
	}
	if f := h.Examine(filepath.Join(root, "dir")); !f.Mode.IsDir() || f.Err == nil {
		t.Errorf("a directory: %+v", f)
	}
}

// Directories for another port, as long as there is none for this one.
func TestAnotherPort(t *testing.T) {
	t.Parallel()
	root := tree(t, "reg/", nil, "reg_5001_/", nil, "myreg:5000/", nil)
	h := &Hosts{Roots: Roots{root}}
	look := func(name string) []string {
		t.Helper()
		i, err := h.Inspect(name)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range i.Problems {
			got = append(got, string(p.Code)+" "+filepath.Base(p.File)+": "+p.Err.Error())
		}
		return got
	}
	if diff := cmp.Diff([]string{
		"directory-port reg: is for port 443, and is not read for reg:5000",
		"directory-port reg_5001_: is for port 5001, and is not read for reg:5000",
	}, look("reg:5000")); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	// The names in a root are kept, and read again when they change.
	write(t, root, "reg-5000/", nil)
	if got := look("reg:5000"); len(got) != 3 || got[0] != "directory-port reg: is for port 443, and is not read for reg:5000" {
		t.Errorf("problems after a change: %q", got)
	}
	if got := look("reg:5001"); got != nil {
		t.Errorf("problems of a registry with a directory: %q", got)
	}
}
