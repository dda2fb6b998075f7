package hostdir

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"testing"
)

// A bundle and a chain that are cut after their first certificate are no new,
// smaller ones.
func TestReloadCutLater(t *testing.T) {
	t.Parallel()
	bundle := string(otherCA.PEM) + string(testCA.PEM)
	chain := string(alphaPair.CertPEM) + string(testCA.PEM)
	r := newReloading(t, "reg/ca.crt", bundle, "reg/alpha.cert", chain, "reg/alpha.key", alphaPair.KeyPEM)
	all := []string{"ca.crt other CA", "alpha.cert alpha"}
	endpoint := r.last.Endpoints[0]
	for _, cut := range []int{20, 200, len(testCA.PEM) - 4} {
		write(t, r.root, "reg/ca.crt", bundle[:len(otherCA.PEM)+cut])
		if host := r.lookup(); host.Endpoints[0] != endpoint {
			t.Errorf("a CA bundle cut %d bytes into its second certificate is another one", cut)
		}
		write(t, r.root, "reg/ca.crt", bundle)
		r.lookup()
		write(t, r.root, "reg/alpha.cert", chain[:len(alphaPair.CertPEM)+cut])
		if host := r.lookup(); host.Endpoints[0] != endpoint {
			t.Errorf("a chain cut %d bytes into its second certificate is another one", cut)
		}
		write(t, r.root, "reg/alpha.cert", chain)
		r.lookup()
	}
	r.expect(all)
	write(t, r.root, "reg/ca.crt", bundle[:len(otherCA.PEM)+200])
	r.expect(all, fmt.Sprintf("reg error: reg/ca.crt: line %d: BEGIN CERTIFICATE without an END: the file is cut; what was last read from it stays in use", 1+bytes.Count(otherCA.PEM, []byte("\n"))))
	write(t, r.root, "reg/ca.crt", testCA.PEM)
	r.expect([]string{"ca.crt test CA", "alpha.cert alpha"}, "reg changed")
}

// A certificate that nothing here can read does not keep the others of its file
// from being renewed.
func TestReloadBesideUnreadable(t *testing.T) {
	t.Parallel()
	strange := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("strange")}))
	r := newReloading(t, "reg/ca.crt", strange+string(testCA.PEM))
	if len(r.last.Warnings) != 1 {
		t.Errorf("warnings: %q", r.last.Warnings)
	}
	write(t, r.root, "reg/ca.crt", strange+string(otherCA.PEM))
	r.expect([]string{"ca.crt other CA"}, "reg changed")
	other := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("another")}))
	write(t, r.root, "reg/ca.crt", other+string(testCA.PEM))
	r.expect([]string{"ca.crt other CA"},
		"reg error: reg/ca.crt: line 1: certificate 1 cannot be read: x509: malformed certificate; what was last read from it stays in use")
}
