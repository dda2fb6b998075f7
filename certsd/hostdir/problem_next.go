package hostdir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// Next is what to do about the problem, empty if nothing can be said.
func (p *Problem) Next() string {
	if p.next != "" {
		return p.next
	}
	if _, command, found := strings.Cut(p.Err.Error(), converted); found && !strings.Contains(command, converted) {
		// Of what was last read nothing is to be said here.
		command, _, _ = strings.Cut(command, "; ")
		return "convert it: " + command
	}
	name := filepath.Base(p.File)
	base := strings.TrimSuffix(name, filepath.Ext(name))
	if p.Key != "" {
		return nextInHosts(p)
	}
	switch p.Code {
	case RootUnreadable, DirectoryUnreadable:
		return NextForUnreadable(p.File, p.Err)
	case DirectoryTooLarge:
		return "leave in it what is for this registry; several CA roots may be in one *.crt"
	case FileUnreadable:
		return "make it readable for the user that pulls, or remove it: ls -l " + plainfile.Quote(p.File)
	case FileName:
		return nextForName(p, name)
	case RootName:
		return fmt.Sprintf("mv %s %s", plainfile.Quote(p.File), plainfile.Quote(filepath.Join(filepath.Dir(p.File), "certs.d")))
	case DirectoryTwice:
		return "put what is in it into the first one, and remove it"
	case WrongSuffix:
		if base == "tls" {
			key := filepath.Join(filepath.Dir(p.File), "tls.key")
			return fmt.Sprintf("rename %s to client.cert, and tls.key to client.key: %s && %s", name, plainfile.Rename(p.File, "client.cert"), plainfile.Rename(key, "client.key"))
		}
		return fmt.Sprintf("rename %s to %s.cert: %s", name, base, plainfile.Rename(p.File, base+".cert"))
	case CAWithKey:
		return fmt.Sprintf("if it is a client certificate, rename %s to %s.cert: %s", name, base, plainfile.Rename(p.File, base+".cert"))
	case CAUnusable:
		return "replace it by a CA root in PEM, or remove it"
	case CAPartlyUnusable, PairPartlyUnusable:
		return "copy the file again, or convert or remove the certificates that cannot be read"
	case KeyMissing:
		return fmt.Sprintf("put the private key beside it as %s.key", base)
	case CertificateMissing:
		return fmt.Sprintf("put the certificate beside it as %s.cert, or remove the key", base)
	case KeyMismatch:
		return "copy certificate and key again, both of the same pair"
	case KeyEncrypted:
		key := filepath.Join(filepath.Dir(p.File), base+".key")
		if _, err := os.Stat(key); err != nil {
			key = p.File
		}
		return decrypt(key)
	case PairUnusable:
		if errors.As(p.Err, new(*elsewhereError)) {
			return nextForDevice(p.Err)
		}
		if errors.Is(p.Err, ErrKeyType) {
			return "make a key of one of these, and have a certificate issued for it"
		}
		return "replace it by a certificate and its key in PEM"
	case Expired:
		return "renew it, or set this machine's clock"
	case NotYetValid:
		return "wait, or set this machine's clock"
	case NotForClients:
		return "have it issued with the extended key usage clientAuth"
	case HostsFileSyntax:
		return fmt.Sprintf("correct line %d", p.Line)
	case HostsFileHTTP:
		return "write https://"
	case HostsFileEmpty:
		return "remove it to use none"
	case HostsFileHidden:
		return "put what it says into the first one, and remove it"
	case SystemRootsUnreadable:
		return "reinstall the package ca-certificates"
	}
	return ""
}

// decrypt is the command for an encrypted key. OpenSSL empties the file that it
// is to write before it has a pass phrase: it must not be the key's own.
func decrypt(key string) string {
	old, decrypted := plainfile.Quote(key), plainfile.Quote(key+".new")
	return fmt.Sprintf("decrypt it: openssl pkey -in %[1]s -out %[2]s && mv %[2]s %[1]s", old, decrypted)
}

// NextForUnreadable is what to do about a directory that cannot be listed.
func NextForUnreadable(path string, err error) string {
	if errors.Is(err, syscall.ENOTDIR) {
		return "name a directory in its place"
	}
	return "make it readable for the user that pulls: ls -ld " + plainfile.Quote(path)
}

// nextInHosts is what to do about a key of a hosts.toml, or a file it names.
func nextInHosts(p *Problem) string {
	switch p.Code {
	case HostsFileNoEffect:
		return `add server = "https://HOST", or remove the key`
	case HostsFileHTTP:
		return "write https://"
	case KeyMissing:
		return `name its key, too: client = [["CERTIFICATE", "KEY"]]`
	case KeyEncrypted:
		return "decrypt it: openssl pkey -in KEY -out KEY.new && mv KEY.new KEY"
	case HostsFileKey, HostsFileValue:
		return fmt.Sprintf("correct line %d", p.Line)
	default:
		return fmt.Sprintf("replace the file, or correct line %d", p.Line)
	}
}

var meant = regexp.MustCompile(`did you mean (\S+)\?`)

// nextForName is what to do about a file with a name that is not read.
func nextForName(p *Problem, name string) string {
	if m := meant.FindStringSubmatch(p.Err.Error()); m != nil {
		return renameIt(p, m[1])
	}
	ext := filepath.Ext(name)
	base := strings.TrimSuffix(name, ext)
	switch lower := strings.ToLower(ext); lower {
	case ".crt", ".cert", ".key":
		return renameIt(p, base+lower)
	case ".toml":
		return renameIt(p, strings.ToLower(name))
	}
	return fmt.Sprintf("rename it to %[1]s.crt or %[1]s.cert", base)
}

func renameIt(p *Problem, name string) string {
	return "rename it to " + name + ": " + plainfile.Rename(p.File, name)
}

// unclosed is the name of a directory that lacks the underscore behind a port.
var unclosed = regexp.MustCompile(`^(.+[^:])_([0-9]+)$`)

// hints are how the texts of problems go on with what is the next step here.
var hints = map[ProblemCode]string{
	WrongSuffix:    ": rename to ",
	CAWithKey:      ": if it is ",
	KeyEncrypted:   ": decrypt it ",
	DirectoryName:  ": rename it ",
	HostsFileEmpty: ": remove it ",
}

// converted is how the text of a problem goes on where a command makes a file
// of use out of one in another format.
const converted = ": convert it with "

// Message is the cause without the next step.
func (p *Problem) Message() string {
	text, name := p.Err.Error(), filepath.Base(p.File)
	switch before, after, _ := strings.Cut(text, converted); {
	case after != "" && !strings.Contains(after, converted):
		return before
	case p.Code == RootName:
		return fmt.Sprintf("the directory is %s, not certs.d: nothing in it is read", name)
	case p.Code == DirectoryName && unclosed.MatchString(name):
		text, _, _ = strings.Cut(text, hints[p.Code])
		return "lacks the closing underscore, and " + text
	}
	if hint := hints[p.Code]; hint != "" {
		text, _, _ = strings.Cut(text, hint)
	}
	if errors.As(p.Err, new(*elsewhereError)) {
		text = strings.TrimSuffix(text, ": "+nextForDevice(p.Err))
	}
	return text
}
