package check

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

const usable = "unasked: the configuration can be used; the server was not asked"

const useless = "unusable: nothing can be done with this configuration"

// encrypted is a key as openssl pkey -aes256 writes it. What is inside does not
// matter: nobody has the pass phrase.
func encrypted() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("sealed")})
}

func certIssued(age, life time.Duration) *certtest.Pair {
	now := time.Now()
	// Half an hour keeps the words the same while the test runs.
	begin := now.Add(-age).Add(30 * time.Minute)
	return clientCA.Issue(certtest.Request{CommonName: "timed", NotBefore: begin, NotAfter: begin.Add(life)})
}

func TestMistakesOnDisk(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	const dir = "ROOT/REG_"
	tests := []struct {
		name string
		// in are files of the registry's directory, root those of the root.
		in, root files
		want     []string
	}{
		{name: "nothing wrong", in: files{"ca": serverCA, "alpha": alpha}, want: []string{usable}},
		{name: "no directory", want: []string{
			"warning no-directory REG: no root has a directory for it: no client certificate is presented, and the system's CA roots are used -> if it needs certificates, create ROOT/REG_",
			usable,
		}},
		{name: "a client certificate named as a CA", in: files{"client.crt": alpha.CertPEM, "client.key": alpha.KeyPEM}, want: []string{
			"error wrong-suffix " + dir + "/client.crt: looks like a client certificate -> rename client.crt to client.cert: mv -n " + dir + "/client.crt " + dir + "/client.cert",
			useless,
		}},
		{name: "the names of a Kubernetes secret", in: files{"ca": serverCA, "tls.crt": alpha.CertPEM, "tls.key": alpha.KeyPEM}, want: []string{
			"error wrong-suffix " + dir + "/tls.crt: looks like a client certificate -> rename tls.crt to client.cert, and tls.key to client.key: mv -n " + dir + "/tls.crt " + dir + "/client.cert && mv -n " + dir + "/tls.key " + dir + "/client.key",
			useless,
		}},
		{name: "a CA with its key", in: files{"ca": serverCA, "ca.key": serverCA.KeyPEM()}, want: []string{
			"warning ca-with-key " + dir + "/ca.crt: is used as a CA although ca.key beside it is its key -> if it is a client certificate, rename ca.crt to ca.cert: mv -n " + dir + "/ca.crt " + dir + "/ca.cert",
			usable,
		}},
		{name: "no key", in: files{"alpha.cert": alpha.CertPEM}, want: []string{
			"error key-missing " + dir + "/alpha.cert: no matching alpha.key, and no private key in the file itself -> put the private key beside it as alpha.key",
			useless,
		}},
		{name: "no key, but another pair", in: files{"alpha.cert": alpha.CertPEM, "bravo": bravo}, want: []string{
			"warning key-missing " + dir + "/alpha.cert: no matching alpha.key, and no private key in the file itself -> put the private key beside it as alpha.key",
			usable,
		}},
		{name: "no certificate", in: files{"alpha.key": alpha.KeyPEM}, want: []string{
			"error certificate-missing " + dir + "/alpha.key: no matching alpha.cert -> put the certificate beside it as alpha.cert, or remove the key",
			useless,
		}},
		{name: "a key of another pair", in: files{"alpha.cert": alpha.CertPEM, "alpha.key": bravo.KeyPEM}, want: []string{
			"error key-mismatch " + dir + "/alpha.cert: the private key does not belong to the certificate -> copy the certificate and the key again, both from the same pair",
			useless,
		}},
		{name: "a chain in the wrong order", in: files{"alpha.cert": string(clientCA.PEM) + string(alpha.CertPEM), "alpha.key": alpha.KeyPEM}, want: []string{
			"error key-mismatch " + dir + "/alpha.cert: the private key does not belong to the certificate: it belongs to certificate 2 of the file, which must come first -> put certificate 2 of alpha.cert in front of the others",
			useless,
		}},
		{name: "an encrypted key", in: files{"alpha.cert": alpha.CertPEM, "alpha.key": encrypted()}, want: []string{
			"error key-encrypted " + dir + "/alpha.cert: the private key is encrypted -> decrypt it: openssl pkey -in " + dir + "/alpha.key -out " + dir + "/alpha.key.new && mv " + dir + "/alpha.key.new " + dir + "/alpha.key",
			useless,
		}},
		{name: "rubbish for a pair", in: files{"alpha.cert": "x", "alpha.key": alpha.KeyPEM}, want: []string{
			"error pair-unusable " + dir + "/alpha.cert: the certificate file is not PEM -> replace it with a certificate and its key in PEM",
			useless,
		}},
		{name: "rubbish for a CA", in: files{"ca.crt": "x"}, want: []string{
			"error ca-unusable " + dir + "/ca.crt: unusable CA file: is not PEM -> replace it with a CA root in PEM, or remove it",
			useless,
		}},
		{name: "a CA in DER", in: files{"ca.crt": serverCA.Cert.Raw}, want: []string{
			"error ca-unusable " + dir + "/ca.crt: unusable CA file: is not PEM but looks like DER -> convert it: openssl x509 -inform der -in " + dir + "/ca.crt -out " + dir + "/ca.crt.new && mv " + dir + "/ca.crt.new " + dir + "/ca.crt",
			useless,
		}},
		{name: "half of a CA bundle", in: files{"ca.crt": string(serverCA.PEM) + "-----BEGIN TRUSTED CERTIFICATE-----\neA==\n-----END TRUSTED CERTIFICATE-----\n"}, want: []string{
			"warning ca-partly-unusable " + dir + "/ca.crt: " + fmt.Sprintf("line %d", 1+bytes.Count(serverCA.PEM, []byte("\n"))) + ": certificate 2 cannot be read: asn1: syntax error: truncated tag or length -> copy the file again, or convert or remove the certificates that cannot be read",
			usable,
		}},
		{name: "expired", in: files{"timed": certIssued(3*day, day)}, want: []string{
			"warning expired " + dir + "/timed.cert: CN=timed expired 47 hours ago -> renew it, or set this machine's clock",
			usable,
		}},
		{name: "an expired CA", in: files{"ca.crt": string(certIssued(3*day, day).CertPEM) + string(serverCA.PEM)}, want: []string{
			"warning expired " + dir + "/ca.crt: CN=timed expired 47 hours ago -> renew it, or set this machine's clock",
			usable,
		}},
		{name: "not yet valid", in: files{"timed": certIssued(-3*day, day)}, want: []string{
			"warning not-yet-valid " + dir + "/timed.cert: CN=timed becomes valid in 3 days -> wait, or set this machine's clock",
			usable,
		}},
		{name: "not for clients", in: files{"server": clientCA.Issue(certtest.Request{CommonName: "server", ServerOnly: true})}, want: []string{
			"warning not-for-clients " + dir + "/server.cert: CN=server is a server's certificate: its extended key usage is serverAuth, and it is not meant for client authentication -> replace it with a client certificate and key that were issued with the extended key usage clientAuth",
			usable,
		}},
		{name: "expires soon", in: files{"timed": certIssued(97*day, 100*day)}, want: []string{
			"warning expires-soon " + dir + "/timed.cert: CN=timed expires in 3 days -> renew it",
			usable,
		}},
		{name: "short-lived and fresh", in: files{"timed": certIssued(time.Hour, 2*time.Hour)}, want: []string{usable}},
		{name: "a hosts.toml with a misspelt key", in: files{"hosts.toml": "[host.\"https://m.test\"]\n  skip-verify = true\n"}, want: []string{
			`error hosts-toml-key ` + dir + `/hosts.toml:2: host."https://m.test".skip-verify: unknown key; did you mean "skip_verify"? -> correct line 2`,
			useless,
		}},
		{name: "a hosts.toml that is none", in: files{"hosts.toml": "server = \n"}, want: []string{
			"error hosts-toml-syntax " + dir + "/hosts.toml:1: invalid TOML: unexpected character U+000A at start of value -> correct line 1",
			useless,
		}},
		{name: "a wrong value in hosts.toml", in: files{"hosts.toml": "skip_verify = \"yes\"\n"}, want: []string{
			`error hosts-toml-value ` + dir + `/hosts.toml:1: skip_verify: is a string, must be true or false -> correct line 1`,
			useless,
		}},
		{name: "one pair of brackets", in: files{"alpha": alpha, "hosts.toml": "client = [\"alpha.cert\", \"alpha.key\"]\n"}, want: []string{
			`error hosts-toml-value ` + dir + `/hosts.toml:1: client: ["alpha.cert", "alpha.key"] means two files that hold a certificate and a key each; for a pair write [["alpha.cert", "alpha.key"]] -> correct line 1`,
			useless,
		}},
		{name: "a pair without key in hosts.toml", in: files{"alpha.cert": alpha.CertPEM, "hosts.toml": "\nclient = \"alpha.cert\"\n"}, want: []string{
			`error key-missing ` + dir + `/hosts.toml:2: client: ` + dir + `/alpha.cert: no matching alpha.key, and no private key in the file itself -> name its key, too: client = [["CERTIFICATE", "KEY"]]`,
			useless,
		}},
		{name: "an encrypted key in hosts.toml", in: files{"a.pem": alpha.CertPEM, "k.pem": encrypted(), "hosts.toml": "client = [[\"a.pem\", \"k.pem\"]]\n"}, want: []string{
			`error key-encrypted ` + dir + `/hosts.toml:1: client: ` + dir + `/a.pem: the private key is encrypted -> decrypt it: openssl pkey -in KEY -out KEY.new && mv KEY.new KEY`,
			useless,
		}},
		{name: "a missing CA in hosts.toml", in: files{"hosts.toml": "ca = \"ca.pem\"\n"}, want: []string{
			`error file-unreadable ` + dir + `/hosts.toml:1: ca: ` + dir + `/ca.pem: cannot be read: no such file or directory -> replace the file, or correct line 1`,
			useless,
		}},
		{name: "a key of hosts.toml without effect", in: files{"hosts.toml": "override_path = true\n"}, want: []string{
			`warning hosts-toml-no-effect ` + dir + `/hosts.toml:1: override_path: has no effect without server: the registry itself has every capability, below /v2 -> add server = "https://HOST", or remove the key`,
			usable,
		}},
		{name: "http for a server with a CA", in: files{"ca": serverCA, "hosts.toml": "server = \"http://m.test\"\nca = \"ca.crt\"\n"}, want: []string{
			`warning hosts-toml-http ` + dir + `/hosts.toml: says http:// for a server with TLS settings: HTTPS is used -> write https://`,
			usable,
		}},
		{name: "host.toml", in: files{"ca": serverCA, "host.toml": ""}, want: []string{
			"warning file-name " + dir + "/host.toml: is not read: did you mean hosts.toml? -> rename it to hosts.toml: mv -n " + dir + "/host.toml " + dir + "/hosts.toml",
			usable,
		}},
		{name: "a suffix in capitals", in: files{"ca": serverCA, "CA2.CRT": serverCA.PEM}, want: []string{
			"warning file-name " + dir + "/CA2.CRT: is not read: the suffix must be .crt, in lower case -> rename it to CA2.crt: mv -n " + dir + "/CA2.CRT " + dir + "/CA2.crt",
			usable,
		}},
		{name: "another suffix of a CA", in: files{"root.pem": serverCA.PEM}, want: []string{
			"warning file-name " + dir + "/root.pem: is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate -> rename it to root.crt: mv -n " + dir + "/root.pem " + dir + "/root.crt",
			usable,
		}},
		{name: "another suffix of a key", in: files{"ca": serverCA, "alpha": alpha, "other-key.pem": bravo.KeyPEM}, want: []string{
			"warning file-name " + dir + "/other-key.pem: is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate -> rename it to other.key: mv -n " + dir + "/other-key.pem " + dir + "/other.key",
			usable,
		}},
		{name: "nobody to pull from", in: files{"ca": serverCA, "hosts.toml": "server = \"https://reg\"\ncapabilities = [\"push\"]\n"}, want: []string{
			`error no-pull ` + dir + `/hosts.toml: capabilities: no server has both pull and resolve, so there is none to pull from -> add "pull" and "resolve" to the capabilities of one`,
			useless,
		}},
		{name: "another suffix", in: files{"ca": serverCA, "client.pem": alpha.CertPEM}, want: []string{
			"warning file-name " + dir + "/client.pem: is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate -> rename it to client.cert: mv -n " + dir + "/client.pem " + dir + "/client.cert",
			usable,
		}},
		{name: "no closing underscore", root: files{"reg.test_5000/ca": serverCA}, want: []string{
			"warning directory-name ROOT/reg.test_5000: lacks the closing underscore, and is not read for REG -> rename it to REG_: mv -n ROOT/reg.test_5000 ROOT/REG_",
			usable,
		}},
		{name: "a dash before the port", root: files{"reg.test-5000/ca": serverCA}, want: []string{
			"warning directory-name ROOT/reg.test-5000: is not read for REG -> rename it to REG_: mv -n ROOT/reg.test-5000 ROOT/REG_",
			usable,
		}},
		{name: "another port", root: files{"reg.test_5001_/ca": serverCA}, want: []string{
			"warning directory-port ROOT/reg.test_5001_: is for port 5001, and is not read for REG -> rename it to REG_, if it is meant for this one: mv -n ROOT/reg.test_5001_ ROOT/REG_",
			usable,
		}},
		{name: "no port", root: files{"reg.test/ca": serverCA}, want: []string{
			"warning directory-port ROOT/reg.test: is for port 443, and is not read for REG -> rename it to REG_, if it is meant for this one: mv -n ROOT/reg.test ROOT/REG_",
			usable,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			write(t, root, of("reg.test:5000", tt.in))
			write(t, root, tt.root)
			r := run1(t, &Checker{Offline: true}, root, "reg.test:5000")
			compare(t, tt.want, lines(r, root, map[string]string{"REG": "reg.test:5000"}))
		})
	}
}

func TestPermissionsOfKeys(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, of("reg", files{"alpha": alpha, "bravo.cert": string(bravo.CertPEM) + string(bravo.KeyPEM)}))
	for name, mode := range map[string]os.FileMode{"alpha.key": 0o640, "bravo.cert": 0o604, "alpha.cert": 0o644} {
		if err := os.Chmod(filepath.Join(root, "reg", name), mode); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, []string{
		"warning key-permissions ROOT/REG/alpha.key: holds a private key that users other than its owner can use: its mode is 0640 -> chmod 600 ROOT/REG/alpha.key",
		"warning key-permissions ROOT/REG/bravo.cert: holds a private key that users other than its owner can use: its mode is 0604 -> chmod 600 ROOT/REG/bravo.cert",
		usable,
	}, lines(run1(t, &Checker{Offline: true}, root, "reg"), root, map[string]string{"REG": "reg"}))
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, of("reg", files{"ca": serverCA}))
	// Root reads everything: a link to nothing, and a root that is a file, are
	// what it cannot.
	if err := os.Symlink("gone", filepath.Join(root, "reg", "other.crt")); err != nil {
		t.Fatal(err)
	}
	compare(t, []string{
		"error file-unreadable ROOT/REG/other.crt: cannot be read: no such file or directory -> make it readable for the user that pulls, or remove it: ls -l ROOT/REG/other.crt",
		useless,
	}, lines(run1(t, &Checker{Offline: true}, root, "reg"), root, map[string]string{"REG": "reg"}))

	file := filepath.Join(root, "file")
	write(t, root, files{"file": ""})
	c := &Checker{Offline: true, Roots: certsd.Roots{file}}
	r, err := c.Registry(t.Context(), "reg")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, []string{
		"warning root-unreadable ROOT/file: cannot search the certs.d directory: not a directory -> name a directory in its place",
		"warning no-directory reg: no root has a directory for it: no client certificate is presented, and the system's CA roots are used -> if it needs certificates, create ROOT/file/reg",
		usable,
	}, lines(r, root, nil))
}

func TestRootsThatAreNotRead(t *testing.T) {
	t.Parallel()
	etc := t.TempDir()
	write(t, etc, files{"cert.d/reg/ca": serverCA})
	c := &Checker{Offline: true, Roots: certsd.Roots{filepath.Join(etc, "certs.d")}}
	r, err := c.Registry(t.Context(), "reg")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, []string{
		"warning root-name ROOT/cert.d: the directory is cert.d, not certs.d: nothing in it is read -> mv ROOT/cert.d ROOT/certs.d",
		usable,
	}, lines(r, etc, nil))
}

func TestSecondHostsFile(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	a, b := filepath.Join(root, "a"), filepath.Join(root, "b")
	write(t, a, files{"reg/hosts.toml": `server = "https://reg"`})
	write(t, b, files{"reg/hosts.toml": `server = "https://reg"`})
	c := &Checker{Offline: true, Roots: certsd.Roots{a, b}}
	r, err := c.Registry(t.Context(), "reg")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, []string{
		"warning hosts-toml-hidden ROOT/b/reg/hosts.toml: is not used: ROOT/a/reg/hosts.toml comes first -> move its contents into the first one, and remove it",
		usable,
	}, lines(r, root, nil))
}

func TestTargets(t *testing.T) {
	t.Parallel()
	digest := "@sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct{ target, registry, repository, err string }{
		{"reg", "reg", "", ""},
		{"reg:5000/", "reg:5000", "", ""},
		{"https://Reg:5000/v2/", "reg:5000", "", ""},
		{"reg/team/app", "reg", "team/app", ""},
		{"reg:5000/app:1.2", "reg:5000", "app:1.2", ""},
		{"reg/app" + digest, "reg", "app" + digest, ""},
		{"reg/app:1" + digest, "reg", "app:1" + digest, ""},
		{"reg/app@sha256:12", "", "", `"reg/app@sha256:12" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`},
		{"reg/:1", "", "", `"reg/:1" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`},
		{"reg/app:", "", "", `"reg/app:" is not an image reference: invalid reference format: write [HOST[:PORT]/]NAME[:TAG][@DIGEST]`},
		{"reg/APP", "", "", `"reg/APP" is not an image reference: repository name (APP) must be lowercase: repositories are in lower case, only hosts and tags may have capitals`},
		{"", "", "", `"" does not name a registry`},
		{"a b", "", "", `host "a b": contains a space`},
	} {
		r, err := (&Checker{Roots: certsd.Roots{t.TempDir()}, Offline: true}).Registry(t.Context(), tt.target)
		switch {
		case tt.err != "":
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: error %v", tt.target, err)
			}
		case err != nil || r.Registry != tt.registry || r.Repository != tt.repository:
			t.Errorf("%s: %+v, %v", tt.target, r, err)
		}
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("https://reg:5000/team/app:1@sha256:x")
	f.Add("[::1]:5000//v2/")
	f.Fuzz(func(t *testing.T, target string) {
		registry, repo, err := splitTarget(target)
		if err != nil {
			return
		}
		if strings.Contains(registry, "/") || strings.Contains(repo.name, "@") || registry == "" || repo.name == "" && repo.object != "" {
			t.Errorf("%q: %q, %+v", target, registry, repo)
		}
	})
}

func TestAll(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, files{
		"a.test/ca": serverCA, "b.test_5000_/alpha.cert": alpha.CertPEM, "registry_5000/ca": serverCA,
		"https:__c.test/ca": serverCA, "-d/ca": serverCA, "_default/host.toml": "", "note": "",
	})
	report, err := (&Checker{Roots: certsd.Roots{root, filepath.Join(root, "note")}, Offline: true}).All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range report.Registries {
		got = append(got, r.Registry+" "+string(r.Verdict))
	}
	general := &Registry{Findings: report.Findings}
	got = append(got, lines(general, root, nil)...)
	compare(t, []string{
		"a.test unasked", "b.test:5000 unusable", "registry_5000 unasked",
		"warning file-name ROOT/_default/host.toml: is not read: did you mean hosts.toml? -> rename it to hosts.toml: mv -n ROOT/_default/host.toml ROOT/_default/hosts.toml",
		`warning directory-name ROOT/-d: is not read: this is not the name of a registry: host "-d": begins or ends with '-' -> rename it to HOST or HOST_PORT_`,
		"warning directory-name ROOT/https:__c.test: is not read: a directory is named after the host, without the scheme -> rename it to HOST or HOST_PORT_",
		"warning directory-name ROOT/registry_5000: is read for a registry of this very name: it lacks the closing underscore of a port -> rename it to registry_5000_, if the number is a port: mv -n ROOT/registry_5000 ROOT/registry_5000_",
		"error root-unreadable ROOT/note: cannot list the certs.d directory: not a directory -> name a directory in its place",
		": ",
	}, got)
	if code := report.ExitCode(); code != ExitUnusable {
		t.Errorf("exit code %d", code)
	}
}

// Where there is nothing to check, that is said.
func TestAllOfNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const next = " -> create HOST or HOST_PORT_ in it, or name the right certs.d directories with --root"
	for _, tt := range []struct {
		root string
		code int
		want string
	}{
		{root, ExitWorks, "warning no-directory ROOT: no registry has a directory there" + next},
		{filepath.Join(root, "none"), ExitUnusable, "error no-directory ROOT/none: there is no such directory" + next},
	} {
		report, err := (&Checker{Roots: certsd.Roots{tt.root}, Offline: true}).All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		compare(t, []string{tt.want, ": "}, lines(&Registry{Findings: report.Findings}, root, nil))
		if code := report.ExitCode(); code != tt.code {
			t.Errorf("%s: exit code %d", tt.root, code)
		}
	}
}

// A key takes the name of the certificate that lacks one.
func TestNameOfAKey(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, of("reg", files{"ca": serverCA, "bravo": bravo, "client.cert": alpha.CertPEM, "client-key.pem": alpha.KeyPEM}))
	r := run1(t, &Checker{Offline: true}, root, "reg")
	for _, f := range r.Findings {
		if f.Code == Code(hostdir.FileName) && strings.HasPrefix(f.Next, "rename it to client.key: ") {
			return
		}
	}
	t.Errorf("%+v", r.Findings)
}
