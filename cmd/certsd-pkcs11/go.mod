module github.com/certsd/containerd-certsd/cmd/certsd-pkcs11

go 1.25.0

require (
	github.com/certsd/containerd-certsd v0.0.0
	github.com/miekg/pkcs11 v1.1.2
	golang.org/x/sys v0.46.0
)

require (
	github.com/containerd/log v0.1.0 // indirect
	github.com/foxboron/go-tpm-keyfiles v0.0.0-20260902202739-8c9c2d1005f4 // indirect
	github.com/google/go-pkcs11 v0.3.0 // indirect
	github.com/google/go-tpm v0.9.9-0.20260124013517-8f8f42cba0de // indirect
	github.com/googleapis/enterprise-certificate-proxy v0.3.25 // indirect
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	golang.org/x/crypto v0.53.0 // indirect
)

replace github.com/certsd/containerd-certsd => ../..

tool github.com/googleapis/enterprise-certificate-proxy/internal/signer/linux
