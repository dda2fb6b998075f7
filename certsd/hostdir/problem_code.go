package hostdir

import (
	"errors"
)

// ProblemCode is a stable name for a kind of [Problem], for programs.
type ProblemCode string

// The kinds of problems.
const (
	// RootUnreadable: a certs.d directory cannot be searched.
	RootUnreadable ProblemCode = "root-unreadable"
	// RootName: a directory's name is almost that of a certs.d directory.
	RootName ProblemCode = "root-name"
	// DirectoryUnreadable: a host directory cannot be listed.
	DirectoryUnreadable ProblemCode = "directory-unreadable"
	// DirectoryTooLarge: a host directory holds too many files or bytes.
	DirectoryTooLarge ProblemCode = "directory-too-large"
	// DirectoryName: a directory's name is almost that of a registry's.
	DirectoryName ProblemCode = "directory-name"
	// DirectoryTwice: two directories of one root are named after the same
	// registry, in different spellings.
	DirectoryTwice ProblemCode = "directory-twice"
	// DirectorySuffix: a directory for every host below a domain would serve the
	// registry, but suffix directories are not enabled.
	DirectorySuffix ProblemCode = "directory-suffix"
	// DirectoryPort: the only directory with a registry's name has another port.
	DirectoryPort ProblemCode = "directory-port"
	// FileUnreadable: a file exists but cannot be read.
	FileUnreadable ProblemCode = "file-unreadable"
	// FileName: a file is not read, though its name suggests that it should be.
	FileName ProblemCode = "file-name"
	// WrongSuffix: a client certificate is named like a CA file.
	WrongSuffix ProblemCode = "wrong-suffix"
	// CAWithKey: a CA file has its key next to it.
	CAWithKey ProblemCode = "ca-with-key"
	// CAUnusable: no CA root can be read from a file, CAPartlyUnusable: some
	// cannot.
	CAUnusable       ProblemCode = "ca-unusable"
	CAPartlyUnusable ProblemCode = "ca-partly-unusable"
	// KeyMissing: a client certificate has no key, CertificateMissing: a key
	// has no certificate.
	KeyMissing         ProblemCode = "key-missing"
	CertificateMissing ProblemCode = "certificate-missing"
	// KeyMismatch: key and certificate do not belong together.
	KeyMismatch ProblemCode = "key-mismatch"
	// KeyEncrypted: a key needs a pass phrase.
	KeyEncrypted ProblemCode = "key-encrypted"
	// PairUnusable: a client certificate cannot be used for another reason.
	PairUnusable ProblemCode = "pair-unusable"
	// PairPartlyUnusable: the certificate is used, and a part of its chain
	// cannot be read.
	PairPartlyUnusable ProblemCode = "pair-partly-unusable"
	// Expired, NotYetValid: the time is outside of a certificate's validity.
	Expired     ProblemCode = "expired"
	NotYetValid ProblemCode = "not-yet-valid"
	// NotForClients: a certificate's purpose is not client authentication.
	NotForClients ProblemCode = "not-for-clients"
	// IssuerNotListed: a server does not accept the CA that issued a client
	// certificate. IntermediateMissing: it would if the file held the CA's own
	// certificate, too.
	IssuerNotListed     ProblemCode = "issuer-not-listed"
	IntermediateMissing ProblemCode = "intermediate-missing"
	// HostsFileSyntax: a hosts.toml is not TOML.
	HostsFileSyntax ProblemCode = "hosts-toml-syntax"
	// HostsFileKey: a hosts.toml has an unknown key.
	HostsFileKey ProblemCode = "hosts-toml-key"
	// HostsFileValue: a hosts.toml has a value that cannot be used.
	HostsFileValue ProblemCode = "hosts-toml-value"
	// HostsFileNoEffect: a key of a hosts.toml does nothing.
	HostsFileNoEffect ProblemCode = "hosts-toml-no-effect"
	// HostsFileEmpty: a hosts.toml was emptied.
	HostsFileEmpty ProblemCode = "hosts-toml-empty"
	// HostsFileHidden: a hosts.toml is not read because another one comes first.
	HostsFileHidden ProblemCode = "hosts-toml-hidden"
	// HostsFileHTTP: a hosts.toml says http:// where TLS is configured.
	HostsFileHTTP ProblemCode = "hosts-toml-http"
	// SystemRootsUnreadable: the system's CA roots cannot be read.
	SystemRootsUnreadable ProblemCode = "system-roots-unreadable"
)

// codedError is an error of a known kind.
type codedError struct {
	code ProblemCode
	error
}

func (e *codedError) Unwrap() error { return e.error }

// codeOf returns the code for an error about a certificate, a key or a CA file.
func codeOf(err error, other ProblemCode) ProblemCode {
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	switch {
	case errors.As(err, new(*readError)):
		return FileUnreadable
	case errors.Is(err, ErrEncryptedKey):
		return KeyEncrypted
	case errors.Is(err, errKeyMismatch):
		return KeyMismatch
	}
	return other
}
