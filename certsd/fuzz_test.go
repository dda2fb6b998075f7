package certsd

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// FuzzHostsTOML feeds any text to the parser of hosts.toml. Whatever it takes
// must be usable; whatever it refuses must name the file.
func FuzzHostsTOML(f *testing.F) {
	for _, seed := range []string{
		"",
		"server = 'https://reg:5000/x'\noverride_path = true\n",
		"ca = 'a'\n[host.'https://m']\nclient = [['a', 'b'], 'c']\ncapabilities = ['pull']\n[host.'https://m'.header]\nx = ['1', '2']\n",
		"host.a.b = 1\nhost = { x = { ca = 1 } }",
		"[[host]]\n[[host]]",
		"registry_v1 = 'always'\nrotate_on = ['5xx']\ndial_timeout = '1s'",
		"\"\\u0000\" = 1\n['']\n'' = ''",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hosts, problems := parseHosts("hosts.toml", []byte(text))
		failed := failures(problems) != nil
		if failed != (hosts == nil) {
			t.Fatalf("hosts %v with the problems %v", hosts, problems)
		}
		for _, p := range problems {
			if !strings.HasPrefix(p.Error(), "hosts.toml") || strings.ContainsAny(p.Error(), "\n\x00") {
				t.Errorf("a problem reads %q", p.Error())
			}
		}
		if hosts == nil {
			return
		}
		if len(hosts.endpoints) == 0 {
			t.Fatal("no endpoint")
		}
		for _, e := range hosts.endpoints {
			if e.host == "" {
				continue
			}
			if _, err := hostname.Canonical(e.host); err != nil || e.scheme != "https" && e.scheme != "http" || e.capabilities == 0 {
				t.Errorf("endpoint %+v: %v", e, err)
			}
		}
	})
}

// FuzzLoad loads any bytes as certificate, key and CA.
func FuzzLoad(f *testing.F) {
	f.Add(alphaPair.CertPEM, alphaPair.KeyPEM, testCA.PEM)
	f.Add(alphaPair.CertPEM[:100], alphaPair.KeyPEM[:100], testCA.PEM[:100])
	f.Add(alphaPair.KeyPEM, alphaPair.CertPEM, encryptedPKCS8())
	f.Add(testCA.Cert.Raw, encryptedLegacy(), []byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		dir, err := Load(fstest.MapFS{
			"a.cert": {Data: cert}, "a.key": {Data: key}, "a.crt": {Data: ca},
		}, LoadOptions{Path: "/d"})
		for _, id := range dir.Identities {
			if id.Certificate.Leaf == nil || id.Certificate.PrivateKey == nil {
				t.Errorf("identity %+v", id)
			}
		}
		if err == nil && (len(dir.Identities) != 1 || len(dir.CAs) != 1) {
			t.Errorf("no error with %d pairs and %d CAs", len(dir.Identities), len(dir.CAs))
		}
	})
}
