package tpmkey

import (
	"encoding/pem"
	"testing"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
)

// FuzzParse reads files that say that they are of a TPM.
func FuzzParse(f *testing.F) {
	public := tpm2.New2B(keyfile.ECCSRK_H2_Template)
	key := keyfile.NewTPMKey(keyfile.OIDLoadableKey, public, tpm2.TPM2BPrivate{Buffer: []byte("private")}, keyfile.WithParent(0x81000001))
	f.Add(key.Bytes())
	f.Add(keyfile.Marshal(key))
	f.Add([]byte("rubbish"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, pem.EncodeToMemory(&pem.Block{Type: label, Bytes: data})} {
			p, err := parse(file)
			if err == nil && (p.key == nil || p.name == nil) {
				t.Error("neither a key nor an error")
			}
		}
	})
}
