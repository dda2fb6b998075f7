package pemfile_test

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/citest"
	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/pemfile"
)

func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		citest.Missing(t, "no openssl")
	}
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// What OpenSSL takes of a bundle as its trust store, which is what curl does, is
// read here. What is read beyond that can mean one thing only, and what cannot be
// read is told.
func TestBesideOpenSSL(t *testing.T) {
	t.Parallel()
	leaves := map[string][]byte{
		"one": oneCA.Issue(certtest.Request{CommonName: "leaf"}).CertPEM,
		"two": twoCA.Issue(certtest.Request{CommonName: "leaf"}).CertPEM,
	}
	cut := func(text string, from, to int) string { return text[:from] + text[to:] }
	for about, test := range map[string]struct {
		data string
		// want are the CAs that are read here, and theirs those that OpenSSL
		// takes, where they are less: it refuses a bundle with a bad part whole. told is whether something is said to be lost.
		want, theirs string
		told         bool
	}{
		"two certificates":         {data: one + two, want: "one two"},
		"a byte order mark":        {data: "\ufeff" + one + two, want: "one two"},
		"two of them":              {data: "\ufeff\ufeff" + one + two, want: "one two", theirs: "two"},
		"DOS line ends":            {data: strings.ReplaceAll(one+two, "\n", "\r\n"), want: "one two"},
		"line ends of old Macs":    {data: strings.ReplaceAll(one+two, "\n", "\r"), want: "one two", theirs: "-"},
		"blanks at line ends":      {data: strings.ReplaceAll(one+two, "\n", "  \n"), want: "one two"},
		"text between":             {data: "x\n" + one + "text\n" + two + "y", want: "one two"},
		"rulers between":           {data: "-----\n" + one + "------------\n" + two + "---------", want: "one two"},
		"attributes between":       {data: one + "Bag Attributes\n    friendlyName: two\nissuer=CN = x\n\n" + two, want: "one two"},
		"garbage behind":           {data: one + two + "%%% \xff\xfe\x01", want: "one two"},
		"old labels":               {data: strings.ReplaceAll(one+two, "CERTIFICATE", "X509 CERTIFICATE"), want: "one two"},
		"trusted labels":           {data: strings.ReplaceAll(one+two, "CERTIFICATE", "TRUSTED CERTIFICATE"), want: "one two"},
		"long lines":               {data: "-----BEGIN CERTIFICATE-----\n" + strings.ReplaceAll(body(one), "\n", "") + "\n-----END CERTIFICATE-----\n" + two, want: "one two"},
		"a very long line before":  {data: strings.Repeat("x", 100_000) + "\n" + one + two, want: "one two"},
		"commented out":            {data: "#" + strings.ReplaceAll(one, "\n", "\n#") + "\n" + two, want: "two"},
		"blanks before BEGIN":      {data: "   " + one + "\t" + two, want: "one two", theirs: "-"},
		"indented":                 {data: "\n" + one + strings.ReplaceAll(two, "\n", "\n  "), want: "one two", theirs: "-"},
		"no line break between":    {data: strings.TrimSuffix(one, "\n") + two, want: "one two", theirs: "-"},
		"a blank in its place":     {data: strings.TrimSuffix(one, "\n") + " " + two, want: "one two", theirs: "-"},
		"zeros between":            {data: one + "\x00\x00\x00\n" + two, want: "one two", theirs: "one"},
		"zeros behind":             {data: one + two + "\x00\x00", want: "one two"},
		"a zero in the base64":     {data: one[:100] + "\x00" + one[100:] + two, want: "one two", theirs: "-"},
		"BEGIN without END":        {data: one + two[:300], want: "one", told: true, theirs: "-"},
		"END without BEGIN":        {data: one[200:] + two, want: "two", told: true},
		"base64 one too short":     {data: cut(one, 100, 101) + two, want: "two", told: true, theirs: "-"},
		"base64 four too short":    {data: cut(one, 100, 104) + two, want: "two", told: true, theirs: "-"},
		"base64 four too long":     {data: one[:100] + "AAAA" + one[100:] + two, want: "two", told: true, theirs: "-"},
		"PKCS #7 between":          {data: one + strings.ReplaceAll(one, "CERTIFICATE", "PKCS7") + two, want: "one two"},
		"a key between":            {data: one + string(oneCA.Issue(certtest.Request{CommonName: "x"}).KeyPEM) + two, want: "one two"},
		"nothing":                  {data: "", want: "-"},
		"comments":                 {data: "# one\n# two\n", want: "-"},
		"UTF-16":                   {data: utf16(one+two, "\xff\xfe"), want: "-"},
		"UTF-16 without a mark":    {data: utf16(one+two, ""), want: "-"},
		"words before BEGIN":       {data: "text " + one + two, want: "two", told: true},
		"a label in small letters": {data: strings.ToLower(one[:27]) + one[27:] + two, want: "two", told: true},
		"two blanks in the label":  {data: strings.ReplaceAll(one, "BEGIN ", "BEGIN  ") + two, want: "two", told: true, theirs: "-"},
		"a header without meaning": {data: strings.Replace(one, "-----\n", "-----\nComment: x\n\n", 1) + two, want: "one two", theirs: "-"},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "bundle", test.data)
			var ours, theirs []string
			told := false
			for _, name := range found(test.data) {
				if _, ca, is := strings.Cut(name, "CERTIFICATE "); is && (ca == "one" || ca == "two") {
					ours = append(ours, ca)
				} else if strings.HasPrefix(name, "line ") || strings.HasPrefix(name, "CERTIFICATE ") {
					told = true
				}
			}
			for _, ca := range []string{"one", "two"} {
				write(t, dir, ca, string(leaves[ca]))
				if opensslTakes(t, dir, "verify", "-no-CApath", "-no-CAstore", "-CAfile", "bundle", ca) {
					theirs = append(theirs, ca)
				}
			}
			if got := words(ours); got != test.want || told != test.told {
				t.Errorf("read: %s, told of a loss: %t; want %s, %t: %q", got, told, test.want, test.told, found(test.data))
			}
			if got := words(theirs); got != cmp.Or(test.theirs, test.want) {
				t.Errorf("OpenSSL takes %s, want %s", got, cmp.Or(test.theirs, test.want))
			}
		})
	}
}

func words(list []string) string { return cmp.Or(strings.Join(list, " "), "-") }

// utf16 is text of ASCII in UTF-16, the little end first.
func utf16(text, mark string) string {
	return mark + strings.Join(append(strings.Split(text, ""), ""), "\x00")
}

// opensslTakes reports whether a command of OpenSSL ends well.
func opensslTakes(t *testing.T, dir string, args ...string) bool {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		citest.Missing(t, "no openssl")
	}
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	return cmd.Run() == nil
}

// The command that is advised for a format makes PEM of it.
func TestConversions(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("clients")
	pair := ca.Issue(certtest.Request{CommonName: "alpha"})
	for about, test := range map[string]struct {
		make []string
		// what is how the text begins, label what the command makes.
		what, label string
	}{
		"a certificate in DER": {[]string{"x509", "-in", "cert", "-outform", "der"}, "is not PEM but looks like DER", "CERTIFICATE"},
		"a key in DER":         {[]string{"pkey", "-in", "key", "-outform", "der"}, "is not PEM but looks like a private key in DER", "PRIVATE KEY"},
		"PKCS #12":             {[]string{"pkcs12", "-export", "-in", "cert", "-inkey", "key", "-passout", "pass:"}, "is PKCS #12 (a .p12 or .pfx file)", "CERTIFICATE"},
		"PKCS #7 in PEM":       {[]string{"crl2pkcs7", "-nocrl", "-certfile", "cert"}, "is PKCS #7 in PEM (a .p7b file)", "CERTIFICATE"},
		"PKCS #7 in DER":       {[]string{"crl2pkcs7", "-nocrl", "-certfile", "cert", "-outform", "der"}, "is PKCS #7 in DER (a .p7b file)", "CERTIFICATE"},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "cert", string(pair.CertPEM))
			write(t, dir, "key", string(pair.KeyPEM))
			path := filepath.Join(dir, "it's a file")
			openssl(t, dir, append(test.make, "-out", path)...)
			f := recognise(t, path)
			if f.What != test.what {
				t.Errorf("it %s, want: %s", f.What, test.what)
			}
			command, _ := strings.CutPrefix(nextstep.Of(f.For(path)), "convert it: ")
			cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(command, "-nodes", "-nodes -passin pass:", 1))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			if got := labelsOf(t, path); !strings.Contains(got, test.label) {
				t.Errorf("%s makes %q, want %s", command, got, test.label)
			}
		})
	}
	t.Run("what no command is for", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, dir, "key", string(pair.KeyPEM))
		openssl(t, dir, "req", "-new", "-key", "key", "-subj", "/CN=alpha", "-out", "csr", "-outform", "der")
		if f := recognise(t, filepath.Join(dir, "csr")); !strings.HasPrefix(f.For("csr").Error(), "is a request for a certificate (CSR)") {
			t.Error(f.For("csr"))
		}
		openssl(t, dir, "req", "-new", "-key", "key", "-subj", "/CN=alpha", "-out", "csr")
		if f := recognise(t, filepath.Join(dir, "csr")); !strings.HasPrefix(f.For("csr").Error(), "is a request for a certificate (CSR)") {
			t.Error(f.For("csr"))
		}
	})
}

func recognise(t *testing.T, path string) pemfile.Foreign {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if blocks := pemfile.Scan(data); len(blocks) > 0 {
		f, _ := pemfile.Label(blocks[0].Label)
		return f
	}
	return pemfile.Recognise(data)
}

func labelsOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var labels []string
	for _, b := range pemfile.Scan(data) {
		labels = append(labels, b.Label)
	}
	return strings.Join(labels, ", ")
}

func write(t *testing.T, dir, name, data string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		" \r\n":                                "is empty",
		"rubbish":                              "is not PEM",
		"\xff\xfe-\x00-\x00":                   "is text in UTF-16, not in UTF-8: convert it with iconv -f UTF-16 -t UTF-8 /d/f >/d/f.new && mv /d/f.new /d/f",
		"-\x00-\x00-\x00-\x00-\x00B\x00E\x00":  "is text in UTF-16LE, not in UTF-8: convert it with iconv -f UTF-16LE -t UTF-8 /d/f >/d/f.new && mv /d/f.new /d/f",
		"\xfe\xed\xfe\xed\x00\x00":             "is a Java keystore (JKS): convert it with keytool -importkeystore -srckeystore /d/f -destkeystore /d/f.p12 -deststoretype PKCS12 && openssl pkcs12 -nodes -in /d/f.p12 -out /d/f.new && mv /d/f.new /d/f",
		"PuTTY-User-Key-File-3: ssh-rsa\n":     "is a key of PuTTY (.ppk): convert it with puttygen /d/f -O private-openssh -o /d/f.new && mv /d/f.new /d/f && ssh-keygen -p -m PKCS8 -f /d/f",
		"\x1f\x8b\x08\x00\x00\x00":             "is compressed by gzip: convert it with gzip -dc </d/f >/d/f.new && mv /d/f.new /d/f",
		"PK\x03\x04\x14":                       "is a ZIP archive: put the files in it there",
		"ssh-ed25519 AAAA":                     "is a public key of SSH, which TLS cannot use",
		"<!DOCTYPE html><html>":                "is an HTML or XML page: what was saved there came from a login or error page",
		"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t": "is base64 of a PEM file, as in a Kubernetes secret: convert it with base64 -d /d/f >/d/f.new && mv /d/f.new /d/f",
		body(one):                              "is not PEM but looks like DER, in base64 without its BEGIN and END lines: convert it with base64 -d /d/f >/d/f.new && mv /d/f.new /d/f",
		string(oneCA.Cert.Raw[:200]):           "is not PEM but looks like DER that is cut (data truncated)",
	} {
		if got := pemfile.Recognise([]byte(data)).For("/d/f").Error(); got != want {
			t.Errorf("%.20q %s\nwant: %s", data, got, want)
		}
	}
}
