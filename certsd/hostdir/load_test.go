package hostdir

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// The material of the tests in this package: issuing takes time.
var (
	testCA    = certtest.NewCA("test CA")
	otherCA   = certtest.NewCA("other CA")
	alphaPair = testCA.Client("alpha")
	betaPair  = testCA.Client("beta")
	gammaPair = testCA.Client("gamma")
)

// files makes a file system of names and contents.
func files(parts ...any) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(parts); i += 2 {
		data, ok := parts[i+1].([]byte)
		if !ok {
			data = []byte(parts[i+1].(string)) //nolint:errcheck // a bug of the test
		}
		fsys[parts[i].(string)] = &fstest.MapFile{Data: data, Mode: 0o644} //nolint:errcheck // a bug of the test
	}
	return fsys
}

func lines(texts ...string) string { return strings.Join(texts, "\n") }

func encryptedPKCS8() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("secret")})
}

func encryptedLegacy() []byte {
	return pem.EncodeToMemory(&pem.Block{
		Type:    "EC PRIVATE KEY",
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
		Bytes:   []byte("secret"),
	})
}

// outcome is what Load made of a directory, as text.
type outcome struct {
	CAs, Identities, Problems []string
}

func outcomeOf(dir *Directory) outcome {
	var o outcome
	for _, ca := range dir.CAs {
		for _, cert := range ca.Certificates {
			o.CAs = append(o.CAs, ca.File+" "+cert.Subject.CommonName)
		}
	}
	for _, id := range dir.Identities {
		o.Identities = append(o.Identities, id.Name+" "+id.Certificate.Leaf.Subject.CommonName)
	}
	for _, p := range dir.Problems {
		o.Problems = append(o.Problems, p.Severity.String()+": "+p.Error())
	}
	return o
}

func TestLoadDockerFiles(t *testing.T) {
	t.Parallel()
	alpha, beta := alphaPair, betaPair
	both := append(append([]byte("Certificate:\n    Data: as openssl -text prints it\n"), alpha.CertPEM...), alpha.KeyPEM...)
	for _, tt := range []struct {
		about string
		files fstest.MapFS
		want  outcome
	}{
		{"an empty directory says nothing", files(), outcome{}},
		{"other files say nothing", files("README", "hello", "sub/x.crt", "rubbish"), outcome{}},
		{
			"every .crt is a CA", files("b.crt", testCA.PEM, "a.crt", otherCA.PEM),
			outcome{CAs: []string{"/d/a.crt other CA", "/d/b.crt test CA"}},
		},
		{
			"a file may hold several CAs", files("ca.crt", append(append([]byte{}, testCA.PEM...), otherCA.PEM...)),
			outcome{CAs: []string{"/d/ca.crt test CA", "/d/ca.crt other CA"}},
		},
		{
			"pairs come in the order of their bytes",
			files("b.cert", alpha.CertPEM, "b.key", alpha.KeyPEM, "Z.cert", beta.CertPEM, "Z.key", beta.KeyPEM,
				"a10.cert", beta.CertPEM, "a10.key", beta.KeyPEM, "a2.cert", alpha.CertPEM, "a2.key", alpha.KeyPEM),
			outcome{Identities: []string{"Z.cert beta", "a10.cert beta", "a2.cert alpha", "b.cert alpha"}},
		},
		{
			"a certificate file may hold its key", files("client.cert", both),
			outcome{Identities: []string{"client.cert alpha"}},
		},
		{
			"a chain is presented whole", files("client.cert", append(append([]byte{}, alpha.CertPEM...), testCA.PEM...), "client.key", alpha.KeyPEM),
			outcome{Identities: []string{"client.cert alpha"}},
		},
		{
			"a missing key", files("client.cert", alpha.CertPEM),
			outcome{Problems: []string{"error: /d/client.cert: no matching client.key, and no private key in the file itself"}},
		},
		{
			"a lone key", files("client.key", alpha.KeyPEM),
			outcome{Problems: []string{"error: /d/client.key: no matching client.cert"}},
		},
		{
			"a mismatched pair", files("client.cert", alpha.CertPEM, "client.key", beta.KeyPEM),
			outcome{Problems: []string{"error: /d/client.cert: the private key does not belong to the certificate"}},
		},
		{
			"a chain in the wrong order",
			files("client.cert", append(append([]byte{}, testCA.PEM...), alpha.CertPEM...), "client.key", alpha.KeyPEM),
			outcome{Problems: []string{"error: /d/client.cert: the private key does not belong to the certificate: it belongs to certificate 2 of the file, which must come first"}},
		},
		{
			"an encrypted key", files("client.cert", alpha.CertPEM, "client.key", encryptedPKCS8()),
			outcome{Problems: []string{"error: /d/client.cert: the private key is encrypted: decrypt it with openssl pkey -in KEY -out KEY.new && mv KEY.new KEY"}},
		},
		{
			"a key encrypted in the old way", files("client.cert", alpha.CertPEM, "client.key", encryptedLegacy()),
			outcome{Problems: []string{"error: /d/client.cert: the private key is encrypted: decrypt it with openssl pkey -in KEY -out KEY.new && mv KEY.new KEY"}},
		},
		{
			"rubbish for a certificate", files("client.cert", "rubbish", "client.key", alpha.KeyPEM),
			outcome{Problems: []string{"error: /d/client.cert: the certificate file is not PEM"}},
		},
		{
			"rubbish for a key", files("client.cert", alpha.CertPEM, "client.key", "rubbish"),
			outcome{Problems: []string{"error: /d/client.cert: the key file is not PEM"}},
		},
		{
			"an empty key", files("client.cert", alpha.CertPEM, "client.key", ""),
			outcome{Problems: []string{"error: /d/client.cert: the key file is empty"}},
		},
		{
			"files with byte order marks, without line breaks between",
			files("ca.crt", "\ufeff"+strings.TrimSuffix(string(testCA.PEM), "\n")+string(otherCA.PEM), "client.cert", "\ufeff"+string(alpha.CertPEM), "client.key", "\ufeff"+string(alpha.KeyPEM)),
			outcome{CAs: []string{"/d/ca.crt test CA", "/d/ca.crt other CA"}, Identities: []string{"client.cert alpha"}},
		},
		{
			"a hosts.toml with a byte order mark", files("hosts.toml", "\ufeffserver = 'https://other'\r\n"),
			outcome{},
		},
		{
			"a hosts.toml in UTF-16", files("hosts.toml", "\xff\xfes\x00"),
			outcome{Problems: []string{"error: /d/hosts.toml: is text in UTF-16, not in UTF-8: convert it with iconv -f UTF-16 -t UTF-8 /d/hosts.toml >/d/hosts.toml.new && mv /d/hosts.toml.new /d/hosts.toml"}},
		},
		{
			"a chain of which the leaf is lost", files("client.cert", string(alpha.CertPEM[60:])+string(testCA.PEM), "client.key", alpha.KeyPEM),
			outcome{Problems: []string{fmt.Sprintf("error: /d/client.cert: the certificate file cannot be read completely: line %d: END CERTIFICATE without a BEGIN before it", bytes.Count(alpha.CertPEM[60:], []byte("\n")))}},
		},
		{
			"a chain of which the end is lost", files("client.cert", string(alpha.CertPEM)+string(testCA.PEM[:60]), "client.key", alpha.KeyPEM),
			outcome{Identities: []string{"client.cert alpha"}, Problems: []string{fmt.Sprintf("warning: /d/client.cert: line %d: BEGIN CERTIFICATE without an END: the file is cut", 1+bytes.Count(alpha.CertPEM, []byte("\n")))}},
		},
		{
			"a CA beside some in another form", files("ca.crt", string(testCA.PEM)+strings.ReplaceAll(string(testCA.PEM), "CERTIFICATE", "PKCS7")),
			outcome{CAs: []string{"/d/ca.crt test CA"}, Problems: []string{fmt.Sprintf("warning: /d/ca.crt: line %d: is PKCS #7 in PEM (a .p7b file)", 1+bytes.Count(testCA.PEM, []byte("\n")))}},
		},
		{
			"a CA that is called otherwise", files("ca.crt", string(testCA.PEM)+strings.ReplaceAll(string(testCA.PEM), "CERTIFICATE", "Certificate")),
			outcome{CAs: []string{"/d/ca.crt test CA"}, Problems: []string{fmt.Sprintf("warning: /d/ca.crt: line %d: certificate 2 has the label \"Certificate\" instead of CERTIFICATE", 1+bytes.Count(testCA.PEM, []byte("\n")))}},
		},
		{
			"a certificate that is called otherwise", files("client.cert", strings.ReplaceAll(string(alpha.CertPEM), "CERTIFICATE", "CERT"), "client.key", alpha.KeyPEM),
			outcome{Problems: []string{"error: /d/client.cert: the certificate file has no certificate that can be read: line 1: certificate 1 has the label \"CERT\" instead of CERTIFICATE"}},
		},
		{
			"a certificate where the key should be", files("client.cert", alpha.CertPEM, "client.key", alpha.CertPEM),
			outcome{Problems: []string{"error: /d/client.cert: the key file has no private key, only a certificate"}},
		},
		{
			"half a key", files("client.cert", alpha.CertPEM, "client.key", alpha.KeyPEM[:60]),
			outcome{Problems: []string{"error: /d/client.cert: the private key cannot be read: line 1: BEGIN PRIVATE KEY without an END: the file is cut"}},
		},
		{
			"key and certificate swapped", files("client.cert", alpha.KeyPEM, "client.key", alpha.CertPEM),
			outcome{Problems: []string{"error: /d/client.cert: the certificate file has no certificate, only a private key"}},
		},
		{
			"one unusable pair is passed over",
			files("a.cert", alpha.CertPEM, "a.key", beta.KeyPEM, "b.cert", beta.CertPEM, "b.key", beta.KeyPEM),
			outcome{
				Identities: []string{"b.cert beta"},
				Problems:   []string{"warning: /d/a.cert: the private key does not belong to the certificate"},
			},
		},
		{
			"rubbish for a CA", files("ca.crt", "rubbish", "client.cert", alpha.CertPEM, "client.key", alpha.KeyPEM),
			outcome{
				Identities: []string{"client.cert alpha"},
				Problems:   []string{"error: /d/ca.crt: unusable CA file: is not PEM"},
			},
		},
		{
			"an empty CA file", files("ca.crt", " \n"),
			outcome{Problems: []string{"error: /d/ca.crt: unusable CA file: is empty"}},
		},
		{
			"a CA in DER", files("ca.crt", testCA.Cert.Raw),
			outcome{Problems: []string{"error: /d/ca.crt: unusable CA file: is not PEM but looks like DER: convert it with openssl x509 -inform der -in /d/ca.crt -out /d/ca.crt.new && mv /d/ca.crt.new /d/ca.crt"}},
		},
		{
			"a CA that does not parse beside one that does",
			files("ca.crt", append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), testCA.PEM...)),
			outcome{
				CAs:      []string{"/d/ca.crt test CA"},
				Problems: []string{"warning: /d/ca.crt: line 1: certificate 1 cannot be read: x509: malformed certificate"},
			},
		},
		{
			"a .crt that is a client certificate", files("client.crt", alpha.CertPEM, "client.key", alpha.KeyPEM),
			outcome{Problems: []string{
				"error: /d/client.crt: looks like a client certificate: rename to client.cert",
			}},
		},
		{
			"the names of a Kubernetes secret", files("ca.crt", testCA.PEM, "tls.crt", alpha.CertPEM, "tls.key", alpha.KeyPEM),
			outcome{
				CAs: []string{"/d/ca.crt test CA"},
				Problems: []string{
					"error: /d/tls.crt: looks like a client certificate: rename to client.cert, and tls.key to client.key",
				},
			},
		},
		{
			"a .crt with the key of something else", files("ca.crt", testCA.PEM, "ca.key", alpha.KeyPEM),
			outcome{
				CAs:      []string{"/d/ca.crt test CA"},
				Problems: []string{"error: /d/ca.key: no matching ca.cert"},
			},
		},
		{
			"files that were meant to be read",
			files("host.toml", "", "CA.CRT", "", "client.pem", "", "client.p12", "", "chain.P7B", ""),
			outcome{Problems: []string{
				"warning: /d/CA.CRT: is not read: the suffix must be .crt, in lower case",
				"warning: /d/chain.P7B: is not read: PKCS #7 must be converted to PEM",
				"warning: /d/client.p12: is not read: PKCS #12 must be converted to PEM",
				"warning: /d/client.pem: is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate",
				"warning: /d/host.toml: is not read: did you mean hosts.toml?",
			}},
		},
		{
			"directories where files to mount were missing",
			fstest.MapFS{"ca.crt": {Mode: fs.ModeDir}, "hosts.toml": {Mode: fs.ModeDir}, "other": {Mode: fs.ModeDir}},
			outcome{Problems: []string{
				"warning: /d/ca.crt: is not read: it is a directory",
				"warning: /d/hosts.toml: is not read: it is a directory",
			}},
		},
		{
			"a file that is too large", files("ca.crt", make([]byte, plainfile.Most+1)),
			outcome{Problems: []string{"error: /d/ca.crt: cannot be read: is larger than 4 MiB"}},
		},
		{
			"a pipe",
			fstest.MapFS{"ca.crt": {Mode: fs.ModeNamedPipe}},
			outcome{Problems: []string{"error: /d/ca.crt: cannot be read: is not a regular file"}},
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir, err := Load(tt.files, LoadOptions{Path: "/d"})
			if diff := cmp.Diff(tt.want, outcomeOf(dir)); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if failed := strings.Contains(lines(tt.want.Problems...), "error: "); failed != (err != nil) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestLoadSelfSignedWithItsKey(t *testing.T) {
	t.Parallel()
	// What openssl req -x509 makes, with the suffix of a CA: it may be the
	// server's certificate.
	self := certtest.NewCA("self-signed")
	dir, err := Load(files("client.crt", self.PEM, "client.key", self.KeyPEM()), LoadOptions{Path: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	want := outcome{
		CAs: []string{"/d/client.crt self-signed"},
		Problems: []string{
			"warning: /d/client.crt: is used as a CA although client.key beside it is its key: if it is a client certificate, rename to client.cert",
		},
	}
	if diff := cmp.Diff(want, outcomeOf(dir)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}

func TestLoadNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := Load(files("ca.crt", "rubbish", "a.cert", alphaPair.CertPEM, "b.key", alphaPair.KeyPEM), LoadOptions{Path: "/d"})
	want := lines(
		"/d/ca.crt: unusable CA file: is not PEM",
		"/d/a.cert: no matching a.key, and no private key in the file itself",
		"/d/b.key: no matching b.cert",
	)
	if err == nil || err.Error() != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
}

func TestLoadTellsTheCause(t *testing.T) {
	t.Parallel()
	_, err := Load(files("a.cert", alphaPair.CertPEM, "a.key", encryptedPKCS8()), LoadOptions{})
	if !errors.Is(err, ErrEncryptedKey) {
		t.Errorf("%v is not ErrEncryptedKey", err)
	}
	_, err = Load(files("a.cert", alphaPair.CertPEM, "a.key", betaPair.KeyPEM), LoadOptions{})
	if !errors.Is(err, errKeyMismatch) {
		t.Errorf("%v is not errKeyMismatch", err)
	}
	var p *Problem
	if !errors.As(err, &p) || p.File != "a.cert" {
		t.Errorf("%v does not name the file", err)
	}
}

func TestLoadGivesWholePairs(t *testing.T) {
	t.Parallel()
	chain := append(append([]byte{}, alphaPair.CertPEM...), testCA.PEM...)
	dir, err := Load(files("client.cert", chain, "client.key", alphaPair.KeyPEM), LoadOptions{Path: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	id := dir.Identities[0]
	if id.CertFile != "/d/client.cert" || id.KeyFile != "/d/client.key" {
		t.Errorf("files are %s and %s", id.CertFile, id.KeyFile)
	}
	if got := len(id.Certificate.Certificate); got != 2 {
		t.Errorf("%d certificates are presented, want the chain of 2", got)
	}
	if id.Certificate.Leaf == nil || !id.Certificate.Leaf.Equal(alphaPair.Cert) {
		t.Errorf("the leaf is %v", id.Certificate.Leaf)
	}
}

// unreadable refuses to open a file.
type unreadable struct {
	fs.FS
	name string
}

func (u unreadable) Open(name string) (fs.File, error) {
	if name == u.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.FS.Open(name)
}

func TestLoadUnreadable(t *testing.T) {
	t.Parallel()
	fsys := files("ca.crt", testCA.PEM, "a.cert", alphaPair.CertPEM, "a.key", alphaPair.KeyPEM,
		"b.cert", betaPair.CertPEM, "b.key", betaPair.KeyPEM, "hosts.toml", "server = 'https://x'")
	for name, want := range map[string]string{
		"ca.crt":     "/d/ca.crt: cannot be read: permission denied",
		"a.cert":     "/d/a.cert: cannot be read: permission denied",
		"a.key":      "/d/a.key: cannot be read: permission denied",
		"hosts.toml": "/d/hosts.toml: cannot read the file: permission denied",
		".":          "/d: cannot list the directory: permission denied",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(unreadable{maps.Clone(fsys), name}, LoadOptions{Path: "/d"})
			want := strings.ReplaceAll(want, "permission denied", fs.ErrPermission.Error())
			if err == nil || err.Error() != want {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
}

func TestLoadLinkToNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"ca.crt", "dir.crt"} {
		target := dir + "/nowhere"
		if name == "dir.crt" {
			target = t.TempDir()
		}
		if err := os.Symlink(target, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Load(os.DirFS(dir), LoadOptions{Path: dir})
	want := dir + "/ca.crt: cannot be read: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestLoadLinksToDirectories(t *testing.T) {
	t.Parallel()
	root := tree(t, "d/client.cert", alphaPair.CertPEM, "else/", "")
	for _, name := range []string{"ca.crt", "client.key", "hosts.toml"} {
		if err := os.Symlink("../else", filepath.Join(root, "d", name)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := Load(os.DirFS(filepath.Join(root, "d")), LoadOptions{Path: "/d"})
	if err != nil {
		t.Error(err)
	}
	want := outcome{Problems: []string{
		"warning: /d/hosts.toml: is not read: it is a directory",
		"warning: /d/ca.crt: is not read: it is a directory",
		"warning: /d/client.key: is not read: it is a directory",
	}}
	if diff := cmp.Diff(want, outcomeOf(dir)); diff != "" {
		t.Errorf("outcome (-want +got):\n%s", diff)
	}
}
