package keys_test

import (
	"crypto"
	"crypto/rand"
	"net/http"
	"testing"

	keyfile "github.com/foxboron/go-tpm-keyfiles"
	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/certsd/containerd-certsd/internal/benchtest"
	"github.com/certsd/containerd-certsd/internal/tpmtest"
	"github.com/certsd/containerd-certsd/keys"
	"github.com/certsd/containerd-certsd/keys/tpmkey"
)

// BenchmarkHandshakeWithATPM is a connection and a request on it, beside one whose
// key is a file, and the TPM's signature with a key that it has loaded.
func BenchmarkHandshakeWithATPM(b *testing.B) {
	benchtest.Quiet(b)
	for name, o := range map[string]tpmtest.Options{"RSA": {RSA: true}, "ECDSA": {}} {
		b.Run(name, func(b *testing.B) {
			tpm := tpmtest.Start(b)
			devices := &keys.Devices{TPM: tpmkey.TPM{TCTI: tpm.TCTI}}
			file, device := newRig(b, devices.Open), newRig(b, devices.Open)
			if err := file.Clients.Client("alpha").Write(file.Dir, "alpha"); err != nil {
				b.Fatal(err)
			}
			device.tpmPair(b, tpm, "alpha", o)
			connect := func(r *rig) func() {
				return func() {
					r.CloseIdleConnections()
					if status, err := r.Get(b, "/v2/"); err != nil || status != http.StatusOK {
						b.Fatal(status, err)
					}
				}
			}
			sign, done := loaded(b, tpm, o)
			defer done()
			runs := benchtest.Turns(b,
				benchtest.Contender{Name: "file", Run: connect(file)},
				benchtest.Contender{Name: "signature", Run: sign},
				benchtest.Contender{Name: "tpm", Run: connect(device)},
			)
			ratios := make([]float64, len(runs["tpm"]))
			for i := range ratios {
				ratios[i] = runs["tpm"][i] / (runs["file"][i] + runs["signature"][i])
			}
			b.ReportMetric(benchtest.Median(ratios), "tpm/file+signature")
		})
	}
}

// loaded is a bare loop's signature: with a key that stays in the TPM, on a
// connection of its own for each, since the TPM has one.
func loaded(b *testing.B, tpm *tpmtest.TPM, o tpmtest.Options) (sign, done func()) {
	b.Helper()
	o.Persistent = 0x81000055
	file, _ := tpm.Key(o)
	key, err := keyfile.Decode(file)
	if err != nil {
		b.Fatal(err)
	}
	var handle tpm2.TPMHandle = 0x81000056
	tpm.Do(func(c transport.TPM) {
		parent, err := tpm2.ReadPublic{ObjectHandle: o.Persistent}.Execute(c)
		if err != nil {
			b.Fatal(err)
		}
		rsp, err := tpm2.Load{
			ParentHandle: tpm2.AuthHandle{Handle: o.Persistent, Name: parent.Name, Auth: tpm2.PasswordAuth(nil)},
			InPrivate:    key.Privkey, InPublic: key.Pubkey,
		}.Execute(c)
		if err != nil {
			b.Fatal(err)
		}
		_, err = tpm2.EvictControl{
			Auth:             tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
			ObjectHandle:     &tpm2.NamedHandle{Handle: rsp.ObjectHandle, Name: rsp.Name},
			PersistentHandle: handle,
		}.Execute(c)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = tpm2.FlushContext{FlushHandle: rsp.ObjectHandle}.Execute(c)
	})
	public, err := key.Pubkey.Contents()
	if err != nil {
		b.Fatal(err)
	}
	name, err := tpm2.ObjectName(public)
	if err != nil {
		b.Fatal(err)
	}
	scheme := tpm2.TPMAlgECDSA
	if o.RSA {
		scheme = tpm2.TPMAlgRSAPSS
	}
	digest := make([]byte, crypto.SHA256.Size())
	_, _ = rand.Read(digest)
	return func() {
		tpm.Do(func(c transport.TPM) {
			_, err := tpm2.Sign{
				KeyHandle:  tpm2.AuthHandle{Handle: handle, Name: *name, Auth: tpm2.PasswordAuth(nil)},
				Digest:     tpm2.TPM2BDigest{Buffer: digest},
				InScheme:   tpm2.TPMTSigScheme{Scheme: scheme, Details: tpm2.NewTPMUSigScheme(scheme, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256})},
				Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
			}.Execute(c)
			if err != nil {
				b.Fatal(err)
			}
		})
	}, func() {}
}
