package migrate_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// The certificates that a script names: a file whose text is "@ca" holds the
// CA, and so on.
var (
	ca      = certtest.NewCA("ca")
	other   = certtest.NewCA("other")
	clients = certtest.NewCA("clients")
	alpha   = clients.Client("alpha")
	beta    = clients.Client("beta")

	pems = map[string][]byte{
		"@ca":         ca.PEM,
		"@other":      other.PEM,
		"@alpha.cert": alpha.CertPEM,
		"@alpha.key":  alpha.KeyPEM,
		"@beta.cert":  beta.CertPEM,
		"@beta.key":   beta.KeyPEM,
		"@both":       append(append([]byte{}, beta.CertPEM...), beta.KeyPEM...),
		"@ca-key":     append(append([]byte{}, ca.PEM...), ca.KeyPEM()...),
		"@encrypted":  encryptedKey(),
	}
)

// encryptedKey is a key as OpenSSL used to encrypt it.
func encryptedKey() []byte {
	block, _ := pem.Decode(alpha.KeyPEM)
	//lint:ignore SA1019 it is what people have
	encrypted, err := x509.EncryptPEMBlock(strings.NewReader(strings.Repeat("r", 64)), "EC PRIVATE KEY", block.Bytes, []byte("pass"), x509.PEMCipherAES256) //nolint:staticcheck // it is what people have
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(encrypted)
}

// lay writes the files of a script below dir; $DIR in their text is dir.
func lay(t *testing.T, dir string, files []txtar.File) {
	t.Helper()
	for _, f := range files {
		data := []byte(strings.ReplaceAll(string(f.Data), "$DIR", dir))
		if known, found := pems[strings.TrimSpace(string(f.Data))]; found {
			data = known
		}
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree is everything below a directory as a script would hold it.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		for name, known := range pems {
			if string(known) == string(data) {
				data = []byte(name + "\n")
			}
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		b.WriteString("-- " + relative + " " + info.Mode().Perm().String() + " --\n" + string(data))
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return b.String()
}
