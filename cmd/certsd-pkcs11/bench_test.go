package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"os"
	"testing"

	"github.com/certsd/containerd-certsd/internal/benchtest"
	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
)

// BenchmarkHandshakeWithAToken is a connection and a request on it, beside one whose
// key is a file, and the token's signature in this process.
func BenchmarkHandshakeWithAToken(b *testing.B) {
	benchtest.Quiet(b)
	for name, kind := range map[string]string{"RSA": "rsa:2048", "ECDSA": "EC:prime256v1"} {
		b.Run(name, func(b *testing.B) {
			tok := newToken(b)
			file, device := newServer(b, "nothing"), newServer(b, os.Args[0])
			if err := file.Clients.Client("alpha").Write(file.Dir, "alpha"); err != nil {
				b.Fatal(err)
			}
			device.tokenPair(b, tok, "k", kind)
			connect := func(s *server) func() {
				return func() {
					if err := s.get(b); err != nil {
						b.Fatal(err)
					}
				}
			}
			bare := &key{module: tok.module, pin: pin, uri: &pkcs11uri.URI{Object: "k"}}
			defer bare.close()
			digest := make([]byte, crypto.SHA256.Size())
			_, _ = rand.Read(digest)
			var opts crypto.SignerOpts = crypto.SHA256
			if name == "RSA" {
				opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
			}
			runs := benchtest.Turns(b,
				benchtest.Contender{Name: "file", Run: connect(file)},
				benchtest.Contender{Name: "signature", Run: func() {
					if _, err := bare.sign(digest, opts); err != nil {
						b.Fatal(err)
					}
				}},
				benchtest.Contender{Name: "token", Run: connect(device)},
			)
			ratios := make([]float64, len(runs["token"]))
			for i := range ratios {
				ratios[i] = runs["token"][i] / (runs["file"][i] + runs["signature"][i])
			}
			b.ReportMetric(benchtest.Median(ratios), "token/file+signature")
		})
	}
}
