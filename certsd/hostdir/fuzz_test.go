package hostdir

import (
	"testing"
	"testing/fstest"
)

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
