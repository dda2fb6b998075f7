package hostdir

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// What OpenSSL makes for a key is read, or told for what it is with a next step
// that loses nothing.
func TestKeysOfOpenSSL(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		citest.Missing(t, "no openssl")
	}
	const (
		rsa     = `cat "$SHARED/rsa.key"`
		dsa     = `cat "$SHARED/dsa.key"`
		convert = "convert it: openssl pkcs12 -nodes -in DIR/client.key -out "
		decrypt = "decrypt it: openssl pkey -in DIR/client.key -out DIR/client.key.new && mv DIR/client.key.new DIR/client.key"
		another = "create a key of one of these types, and have a certificate issued for it"
		types   = "the private key cannot be read: line 1: TLS takes keys of ECDSA, RSA and Ed25519: "
	)
	shared := t.TempDir()
	for _, args := range [][]string{{"genrsa", "-out", "rsa.key", "2048"}, {"dsaparam", "-genkey", "-noout", "-out", "dsa.key", "1024"}} {
		cmd := exec.CommandContext(t.Context(), "openssl", args...)
		cmd.Dir = shared
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for about, test := range map[string]struct {
		// key is the command that prints it.
		key string
		// message is why it is not used, empty if it is, and next what to do.
		message, next string
	}{
		"RSA":                            {key: rsa},
		"RSA in the old form":            {key: rsa + " | openssl rsa -traditional"},
		"Ed25519":                        {key: "openssl genpkey -algorithm ed25519"},
		"EC behind its parameters":       {key: "openssl ecparam -name prime256v1 -genkey"},
		"EC in SEC 1":                    {key: "openssl ecparam -name secp384r1 -genkey -noout"},
		"EC in PKCS #8":                  {key: "openssl genpkey -algorithm ec -pkeyopt ec_paramgen_curve:P-521"},
		"its certificate before it":      {key: "cat client.cert; openssl ecparam -name prime256v1 -genkey -noout"},
		"text before it":                 {key: "openssl ecparam -name prime256v1 -genkey -noout | openssl pkey -text"},
		"line ends of old Macs":          {key: rsa + ` | tr '\n' '\r'`},
		"encrypted in PKCS #8":           {rsa + " | openssl pkcs8 -topk8 -passout pass:x", "the private key is encrypted", decrypt},
		"encrypted in the old way":       {rsa + " | openssl rsa -traditional -aes256 -passout pass:x", "the private key is encrypted", decrypt},
		"EC encrypted in the old way":    {"openssl ecparam -name secp384r1 -genkey | openssl ec -aes128 -passout pass:x", "the private key is encrypted", decrypt},
		"the same of an old Mac":         {rsa + ` | openssl rsa -traditional -aes256 -passout pass:x | tr '\n' '\r'`, "the private key is encrypted", decrypt},
		"encrypted in DER":               {rsa + " | openssl pkcs8 -topk8 -passout pass:x -outform der", "the key file is not PEM but looks like an encrypted private key in DER", "convert it: openssl pkey -inform der -in DIR/client.key -out "},
		"PKCS #12":                       {rsa + " >k; openssl req -x509 -key k -subj /CN=x | openssl pkcs12 -export -inkey k -passout pass:x", "the key file is PKCS #12 (a .p12 or .pfx file)", convert},
		"DSA":                            {dsa, types + "it is of DSA", another},
		"DSA in PKCS #8":                 {dsa + " | openssl pkcs8 -topk8 -nocrypt", types + "it is of DSA", another},
		"Ed448":                          {"openssl genpkey -algorithm ed448", types + "it is of Ed448", another},
		"RSA-PSS":                        {"openssl genpkey -algorithm rsa-pss -pkeyopt rsa_keygen_bits:2048", types + "it is of RSA-PSS", another},
		"X25519":                         {"openssl genpkey -algorithm x25519", types + "X25519 cannot sign", another},
		"X448":                           {"openssl genpkey -algorithm x448", types + "it is of X448", another},
		"a line is missing":              {rsa + " | sed 5d", "the private key cannot be read: line 1: ", "replace it with a certificate and its key in PEM"},
		"the first lines are missing":    {rsa + " | tail -n +4", "the private key cannot be read: line 25: END PRIVATE KEY without a BEGIN before it", "replace it "},
		"the public half":                {rsa + " | openssl rsa -pubout", "the key file has a public key only", "replace it "},
		"UTF-16 without a mark":          {rsa + " | iconv -t UTF-16LE", "the key file is text in UTF-16LE, not in UTF-8", "convert it: iconv -f UTF-16LE -t UTF-8 DIR/client.key >"},
		"UTF-16 with one, big end first": {rsa + ` | (printf '\376\377'; iconv -t UTF-16BE)`, "the key file is text in UTF-16, not in UTF-8", "convert it: iconv -f UTF-16 "},
		"in base64 once more":            {rsa + " | base64", "the key file is base64 of a PEM file, as in a Kubernetes secret", "convert it: base64 -d "},
		"compressed":                     {rsa + " | gzip", "the key file is compressed by gzip", "convert it: gzip -dc <DIR/client.key"},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			dir := filepath.Join(root, "reg.test")
			write(t, root, "reg.test/client.cert", alphaPair.CertPEM)
			cmd := exec.CommandContext(t.Context(), "sh", "-c", "exec 2>/dev/null; "+test.key)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "SHARED="+shared)
			key, err := cmd.Output()
			if err != nil || len(key) == 0 {
				t.Fatalf("%s: %v", test.key, err)
			}
			write(t, root, "reg.test/client.key", key)
			issueFor(t, dir)
			inspection, err := (&Hosts{Roots: Roots{root}}).Inspect("reg.test")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range inspection.Problems {
				got = append(got, strings.NewReplacer(dir, "DIR", "'", "").Replace(p.Message()+" -> "+p.Next()))
			}
			switch {
			case test.message == "" && len(got) > 0, test.message != "" && len(got) != 1:
				t.Errorf("problems: %q", got)
			case test.message != "":
				message, next, _ := strings.Cut(got[0], " -> ")
				if !strings.HasPrefix(message, test.message) || !strings.HasPrefix(next, test.next) {
					t.Errorf("got  %s -> %s\nwant %s -> %s", message, next, test.message, test.next)
				}
			}
			if test.message == "" && len(inspection.Host.Endpoints[0].Identities) != 1 {
				t.Error("the key is not used, and nothing said")
			}
		})
	}
}

// issueFor issues a certificate for the key of a directory if OpenSSL reads one
// without being asked for a pass phrase, and crypto/x509 the certificate.
func issueFor(t *testing.T, dir string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	issue := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-new", "-key", "/dev/stdin", "-passin", "pass:", "-subj", "/CN=alpha", "-addext", "extendedKeyUsage=clientAuth")
	issue.Stdin = strings.NewReader(strings.ReplaceAll(string(data), "\r", "\n"))
	cert, err := issue.Output()
	if err != nil {
		return
	}
	if _, err := (&file{path: "cert", data: cert}).certificates(); err == nil {
		write(t, dir, "client.cert", cert)
	}
}

// The command that is advised for an encrypted key leaves the key as it is where
// the pass phrase is wrong.
func TestDecryptLosesNothing(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		citest.Missing(t, "no openssl")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "client.key")
	_, command, _ := strings.Cut(decrypt(key), ": ")
	encrypt := exec.CommandContext(t.Context(), "sh", "-c", "openssl genrsa 2048 | openssl pkcs8 -topk8 -passout pass:right -out client.key")
	encrypt.Dir = dir
	if out, err := encrypt.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"wrong", "right"} {
		typed := strings.Replace(command, "openssl pkey", "openssl pkey -passin pass:"+word, 1)
		err := exec.CommandContext(t.Context(), "sh", "-c", typed).Run()
		after, rerr := os.ReadFile(key)
		if rerr != nil {
			t.Fatal(rerr)
		}
		switch word {
		case "wrong":
			if err == nil || string(after) != string(before) {
				t.Errorf("with the wrong pass phrase %q ends with %v and leaves %d of %d bytes", command, err, len(after), len(before))
			}
		default:
			if err != nil || !strings.HasPrefix(string(after), "-----BEGIN PRIVATE KEY-----") {
				t.Errorf("%q ends with %v and leaves %.40q", command, err, after)
			}
		}
	}
}
