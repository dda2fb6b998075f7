package pemfile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/citest"
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

// What OpenSSL reads of a bundle is read here.
func TestBesideOpenSSL(t *testing.T) {
	t.Parallel()
	for about, data := range map[string]string{
		"two certificates":    one + two,
		"a byte order mark":   "\ufeff" + one + two,
		"DOS line ends":       strings.ReplaceAll(one+two, "\n", "\r\n"),
		"blanks at line ends": strings.ReplaceAll(one+two, "\n", "  \n"),
		"text between":        "x\n" + one + "text\n" + two + "y",
		"old labels":          strings.ReplaceAll(one+two, "CERTIFICATE", "X509 CERTIFICATE"),
		"trusted labels":      strings.ReplaceAll(one+two, "CERTIFICATE", "TRUSTED CERTIFICATE"),
		"long lines":          "-----BEGIN CERTIFICATE-----\n" + strings.ReplaceAll(body(one), "\n", "") + "\n-----END CERTIFICATE-----\n" + two,
		"commented out":       "#" + strings.ReplaceAll(one, "\n", "\n#") + "\n" + two,
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "bundle", data)
			out := openssl(t, dir, "crl2pkcs7", "-nocrl", "-certfile", "bundle", "-out", "p7") + openssl(t, dir, "pkcs7", "-in", "p7", "-print_certs", "-noout")
			theirs := strings.Count(out, "subject=")
			ours := 0
			for _, name := range found(data) {
				if strings.HasSuffix(name, "CERTIFICATE one") || strings.HasSuffix(name, "CERTIFICATE two") {
					ours++
				}
			}
			if ours != theirs || ours == 0 {
				t.Errorf("%d certificates, and %d for OpenSSL: %q\n%s", ours, theirs, found(data), out)
			}
		})
	}
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
			_, command, _ := strings.Cut(f.For(path), ": convert it with ")
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
		if f := recognise(t, filepath.Join(dir, "csr")); !strings.HasPrefix(f.For("csr"), "is a request for a certificate (CSR)") {
			t.Error(f.For("csr"))
		}
		openssl(t, dir, "req", "-new", "-key", "key", "-subj", "/CN=alpha", "-out", "csr")
		if f := recognise(t, filepath.Join(dir, "csr")); !strings.HasPrefix(f.For("csr"), "is a request for a certificate (CSR)") {
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
		"ssh-ed25519 AAAA":                     "is a public key of SSH, which is of no use for TLS",
		"<!DOCTYPE html><html>":                "is an HTML or XML page: what was saved there came from a login or error page",
		"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t": "is base64 of a PEM file, as in a Kubernetes secret: convert it with base64 -d /d/f >/d/f.new && mv /d/f.new /d/f",
		body(one):                              "is not PEM but looks like DER, in base64 without its BEGIN and END lines: convert it with base64 -d /d/f >/d/f.new && mv /d/f.new /d/f",
		string(oneCA.Cert.Raw[:200]):           "is not PEM but looks like DER that is cut (data truncated)",
	} {
		if got := pemfile.Recognise([]byte(data)).For("/d/f"); got != want {
			t.Errorf("%.20q %s\nwant: %s", data, got, want)
		}
	}
}
