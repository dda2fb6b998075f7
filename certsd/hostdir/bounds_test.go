package hostdir

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// countedFS counts the files that are opened.
type countedFS struct {
	fstest.MapFS
	opened map[string]int
}

func (c countedFS) Open(name string) (fs.File, error) {
	c.opened[name]++
	return c.MapFS.Open(name)
}

func TestDirectoryIsBounded(t *testing.T) {
	t.Parallel()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testCA.Cert.Raw})
	large := append(bytes.Repeat([]byte("#\n"), 2<<20-1024), ca...)
	for about, test := range map[string]struct {
		files, read int
		data        []byte
		want        string
	}{
		"as many as are read": {1000, 1000, ca, ""},
		"too many":            {maxFiles + 1, 0, ca, "/d/reg: holds 65537 certificates and keys, and no more than 65536 are read"},
		"too large":           {40, 17, large, "/d/reg: holds more than 64 MiB of certificates and keys, which is the limit"},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			fsys := countedFS{fstest.MapFS{}, map[string]int{}}
			for i := range test.files {
				fsys.MapFS[fmt.Sprintf("%05d.crt", i)] = &fstest.MapFile{Data: test.data}
			}
			dir, err := Load(fsys, LoadOptions{Path: "/d/reg"})
			delete(fsys.opened, ".")
			if len(fsys.opened) != test.read {
				t.Errorf("%d files were opened, want %d", len(fsys.opened), test.read)
			}
			if test.want == "" {
				if err != nil || len(dir.CAs) != test.files {
					t.Errorf("%d CA roots of %d: %v", len(dir.CAs), test.files, err)
				}
				return
			}
			if err == nil || err.Error() != test.want || len(dir.CAs) != 0 || !dir.says {
				t.Errorf("%d CA roots, %v, want: %s", len(dir.CAs), err, test.want)
			}
			if code := dir.Problems[0].Code; code != DirectoryTooLarge {
				t.Errorf("code %s", code)
			}
		})
	}
}

// countedError counts how often its text is made.
type countedError struct {
	n     int
	calls *int
}

func (e countedError) Error() string {
	*e.calls++
	return fmt.Sprint("cause ", e.n)
}

// The work of telling apart n problems grows with n, not with its square.
func TestProblemsAreToldApartOnce(t *testing.T) {
	t.Parallel()
	const n, each = 500, 4
	for about, gather := range map[string]func([]*Problem) int{
		"of a lookup": func(problems []*Problem) int {
			b := new(builder)
			b.addProblems(problems[:n/2])
			b.addProblems(problems)
			return len(b.problems)
		},
		"of an inspection": func(problems []*Problem) int {
			i := &Inspection{Name: "reg", Host: new(Host)}
			for _, p := range problems {
				i.Host.Warnings = append(i.Host.Warnings, p)
			}
			h := &Hosts{Roots: Roots{t.TempDir()}}
			h.init()
			c, err := h.entry("reg")
			if err != nil {
				t.Fatal(err)
			}
			c.found = &resolution{main: []*Directory{{Problems: problems}}}
			i.problems(h, c)
			return len(i.Problems)
		},
	} {
		calls := 0
		var problems []*Problem
		for i := range n {
			problems = append(problems, &Problem{File: "f", Err: countedError{i, &calls}})
		}
		if got := gather(problems); got != n || calls > each*n {
			t.Errorf("%s: %d problems of %d, their text made %d times, want %d at most", about, got, n, calls, each*n)
		}
	}
}

func TestFailuresAreToldInPart(t *testing.T) {
	t.Parallel()
	var problems []*Problem
	for i := range 1000 {
		problems = append(problems, &Problem{Severity: Failure, File: fmt.Sprint("f", i), Err: errors.New("is broken")})
	}
	err := failures(problems)
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxTold+1 || lines[0] != "f0: is broken" || lines[maxTold] != "and 980 more" {
		t.Errorf("%q", lines)
	}
	if !errors.Is(err, problems[999]) {
		t.Error("the last one is not in the error")
	}
	if failures(nil) != nil {
		t.Error("no failures are an error")
	}
}

func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	pair := testCA.Issue(certtest.Request{CommonName: "alpha"})
	_, err := Load(fstest.MapFS{
		"a.cert": {Data: pair.CertPEM},
		"a.key":  {Data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: make([]byte, maxKey+1)})},
	}, LoadOptions{Path: "/d"})
	if want := "/d/a.cert: the private key cannot be read: line 1: it has 16385 bytes, and keys of more than 16384 are not read"; err == nil || err.Error() != want {
		t.Errorf("%v, want: %s", err, want)
	}
}

// trust are the settings that OpenSSL appends to a TRUSTED CERTIFICATE.
type trust struct {
	Trust  []asn1.ObjectIdentifier    `asn1:"omitempty,optional"`
	Reject []asn1.ObjectIdentifier    `asn1:"omitempty,optional,tag:0"`
	Alias  string                     `asn1:"omitempty,optional,utf8"`
	Others []pkix.AlgorithmIdentifier `asn1:"omitempty,optional,tag:1"`
}

func TestTrustSettings(t *testing.T) {
	t.Parallel()
	mail := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}
	for about, test := range map[string]struct {
		settings trust
		// want is what a CA is told of, empty if it is used.
		want string
	}{
		"an alias alone":              {trust{Alias: "old"}, ""},
		"trusted for servers":         {trust{Trust: []asn1.ObjectIdentifier{mail, serverAuth}}, ""},
		"trusted for any use":         {trust{Trust: []asn1.ObjectIdentifier{anyUse}}, ""},
		"trusted for mail":            {trust{Trust: []asn1.ObjectIdentifier{mail}}, "its trust settings are for other uses than servers"},
		"rejected for servers":        {trust{Reject: []asn1.ObjectIdentifier{serverAuth}}, "its trust settings reject it for servers"},
		"rejected for any use":        {trust{Reject: []asn1.ObjectIdentifier{anyUse}, Alias: "x"}, "its trust settings reject it for servers"},
		"rejected for mail":           {trust{Reject: []asn1.ObjectIdentifier{mail}}, ""},
		"trusted and rejected for it": {trust{Trust: []asn1.ObjectIdentifier{serverAuth}, Reject: []asn1.ObjectIdentifier{serverAuth}}, "its trust settings reject it for servers"},
	} {
		settings, err := asn1.Marshal(test.settings)
		if err != nil {
			t.Fatal(err)
		}
		data := pem.EncodeToMemory(&pem.Block{Type: trustedCertificate, Bytes: append(bytes.Clone(testCA.Cert.Raw), settings...)})
		dir, err := Load(fstest.MapFS{"ca.crt": {Data: data}}, LoadOptions{Path: "/d"})
		switch {
		case test.want == "" && (err != nil || len(dir.CAs) != 1):
			t.Errorf("%s: %v", about, err)
		case test.want != "" && (err == nil || !strings.HasSuffix(err.Error(), test.want) || len(dir.CAs) != 0):
			t.Errorf("%s: %v, want: %s", about, err, test.want)
		}
	}
}
