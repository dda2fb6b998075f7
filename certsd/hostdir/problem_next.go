package hostdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// Next returns the next step, empty if none is known.
func (p *Problem) Next() string {
	if p.next != "" {
		return p.next
	}
	var elsewhere *elsewhereError
	if next := nextstep.Of(p.Err); next != "" && !errors.As(p.Err, &elsewhere) {
		return next
	}
	if p.Key != "" {
		return nextInHosts(p)
	}
	name := filepath.Base(p.File)
	base := strings.TrimSuffix(name, filepath.Ext(name))
	switch p.Code {
	case RootUnreadable, DirectoryUnreadable:
		return NextForUnreadable(p.File, p.Err)
	case DirectoryTooLarge:
		return "keep only what this registry needs; one *.crt may hold several CA roots"
	case FileUnreadable:
		return "make it readable for the user that pulls, or remove it: ls -l " + plainfile.Quote(p.File)
	case DirectoryTwice:
		return "move its contents into the first one, and remove it"
	case CAUnusable:
		return "replace it with a CA root in PEM, or remove it"
	case CAPartlyUnusable, PairPartlyUnusable:
		return "copy the file again, or convert or remove the certificates that cannot be read"
	case KeyMissing:
		return fmt.Sprintf("put the private key beside it as %s.key", base)
	case CertificateMissing:
		return fmt.Sprintf("put the certificate beside it as %s.cert, or remove the key", base)
	case KeyMismatch:
		if order := (*orderError)(nil); errors.As(p.Err, &order) {
			return fmt.Sprintf("put certificate %d of %s in front of the others", order.at, name)
		}
		return "copy the certificate and the key again, both from the same pair"
	case KeyEncrypted:
		key := filepath.Join(filepath.Dir(p.File), base+".key")
		if _, err := os.Stat(key); err != nil {
			key = p.File
		}
		return decrypt(key)
	case PairUnusable:
		if elsewhere != nil {
			return elsewhere.next()
		}
		if errors.Is(p.Err, errKeyType) {
			return "create a key of one of these types, and have a certificate issued for it"
		}
		return "replace it with a certificate and its key in PEM"
	case Expired:
		return "renew it, or set this machine's clock"
	case NotYetValid:
		return "wait, or set this machine's clock"
	case NotForClients:
		return "have it reissued with the extended key usage clientAuth"
	case HostsFileSyntax:
		return fmt.Sprintf("correct line %d", p.Line)
	case HostsFileHTTP:
		return "write https://"
	case HostsFileHidden:
		return "move its contents into the first one, and remove it"
	case SystemRootsUnreadable:
		return "reinstall the package ca-certificates"
	}
	return ""
}

// decrypt returns the command that decrypts a key. OpenSSL truncates its output file
// before it asks for the pass phrase, so the output must not be the key file.
func decrypt(key string) string {
	old, decrypted := plainfile.Quote(key), plainfile.Quote(key+".new")
	return fmt.Sprintf("decrypt it: openssl pkey -in %[1]s -out %[2]s && mv %[2]s %[1]s", old, decrypted)
}

// NextForUnreadable returns the next step for a directory that cannot be listed.
func NextForUnreadable(path string, err error) string {
	if errors.Is(err, syscall.ENOTDIR) {
		return "name a directory in its place"
	}
	return "make it readable for the user that pulls: ls -ld " + plainfile.Quote(path)
}

// nextInHosts returns the next step for a key of a hosts.toml, or a file it names.
func nextInHosts(p *Problem) string {
	switch p.Code {
	case HostsFileNoEffect:
		return `add server = "https://HOST", or remove the key`
	case HostsFileHTTP:
		return "write https://"
	case KeyMissing:
		return `name its key, too: client = [["CERTIFICATE", "KEY"]]`
	case KeyEncrypted:
		return "decrypt it: " + decryption
	case HostsFileKey, HostsFileValue:
		return fmt.Sprintf("correct line %d", p.Line)
	default:
		return fmt.Sprintf("replace the file, or correct line %d", p.Line)
	}
}

// Message returns the cause without the next step.
func (p *Problem) Message() string {
	if p.message != "" {
		return p.message
	}
	return nextstep.Cause(p.Err)
}
