package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/certsd/containerd-certsd/certsd"
)

// nextFor is what to do about a problem of the configuration.
func nextFor(p *certsd.Problem, registry string) string {
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
	case certsd.RootUnreadable, certsd.DirectoryUnreadable:
		return nextForUnreadable(p.File, p.Err)
	case certsd.DirectoryTooLarge:
		return "leave in it what is for this registry; several CA roots may be in one *.crt"
	case certsd.FileUnreadable:
		return "make it readable for the user that pulls, or remove it: ls -l " + p.File
	case certsd.FileName:
		return nextForName(p, name)
	case certsd.RootName:
		return fmt.Sprintf("mv %s %s", p.File, filepath.Join(filepath.Dir(p.File), "certs.d"))
	case certsd.DirectoryName:
		return "rename it to " + dirName(registry)
	case certsd.DirectoryTwice:
		return "put what is in it into the first one, and remove it"
	case certsd.DirectoryPort:
		return fmt.Sprintf("rename it to %s, if it is meant for this one", dirName(registry))
	case certsd.WrongSuffix:
		if base == "tls" {
			return fmt.Sprintf("rename %s to client.cert, and tls.key to client.key", name)
		}
		return fmt.Sprintf("rename %s to %s.cert", name, base)
	case certsd.CAWithKey:
		return fmt.Sprintf("if it is a client certificate, rename %s to %s.cert", name, base)
	case certsd.CAUnusable:
		return "replace it by a CA root in PEM, or remove it"
	case certsd.CAPartlyUnusable, certsd.PairPartlyUnusable:
		return "copy the file again, or convert or remove the certificates that cannot be read"
	case certsd.KeyMissing:
		return fmt.Sprintf("put the private key beside it as %s.key", base)
	case certsd.CertificateMissing:
		return fmt.Sprintf("put the certificate beside it as %s.cert, or remove the key", base)
	case certsd.KeyMismatch:
		return "copy certificate and key again, both of the same pair"
	case certsd.KeyEncrypted:
		key := filepath.Join(filepath.Dir(p.File), base+".key")
		if _, err := os.Stat(key); err != nil {
			key = p.File
		}
		return fmt.Sprintf("decrypt it: openssl pkey -in %[1]s -out %[1]s", key)
	case certsd.PairUnusable:
		return "replace it by a certificate and its key in PEM"
	case certsd.Expired:
		return "renew it, or set this machine's clock"
	case certsd.NotYetValid:
		return "wait, or set this machine's clock"
	case certsd.NotForClients:
		return "have it issued with the extended key usage clientAuth"
	case certsd.HostsFileSyntax:
		return fmt.Sprintf("correct line %d", p.Line)
	case certsd.HostsFileHTTP:
		return "write https://"
	case certsd.HostsFileEmpty:
		return "remove it to use none"
	case certsd.HostsFileHidden:
		return "put what it says into the first one, and remove it"
	case certsd.SystemRootsUnreadable:
		return "reinstall the package ca-certificates"
	}
	return ""
}

// nextForUnreadable is what to do about a directory that cannot be listed.
func nextForUnreadable(path string, err error) string {
	if errors.Is(err, syscall.ENOTDIR) {
		return "name a directory in its place"
	}
	return "make it readable for the user that pulls: ls -ld " + path
}

// nextInHosts is what to do about a key of a hosts.toml, or a file it names.
func nextInHosts(p *certsd.Problem) string {
	switch p.Code {
	case certsd.HostsFileNoEffect:
		return `add server = "https://HOST", or remove the key`
	case certsd.HostsFileHTTP:
		return "write https://"
	case certsd.KeyMissing:
		return `name its key, too: client = [["CERTIFICATE", "KEY"]]`
	case certsd.KeyEncrypted:
		return "decrypt it: openssl pkey -in KEY -out KEY"
	case certsd.HostsFileKey, certsd.HostsFileValue:
		return fmt.Sprintf("correct line %d", p.Line)
	default:
		return fmt.Sprintf("replace the file, or correct line %d", p.Line)
	}
}

var meant = regexp.MustCompile(`did you mean (\S+)\?`)

// nextForName is what to do about a file with a name that is not read.
func nextForName(p *certsd.Problem, name string) string {
	if m := meant.FindStringSubmatch(p.Err.Error()); m != nil {
		return "rename it to " + m[1]
	}
	ext := filepath.Ext(name)
	base := strings.TrimSuffix(name, ext)
	switch lower := strings.ToLower(ext); lower {
	case ".crt", ".cert", ".key":
		return "rename it to " + base + lower
	case ".toml":
		return "rename it to " + strings.ToLower(name)
	}
	return fmt.Sprintf("rename it to %[1]s.crt or %[1]s.cert", base)
}

// nextForContent is what to do about a file with a name that is not read, by
// what is in it; empty if that does not tell.
func (r *run) nextForContent(p *certsd.Problem) string {
	x := r.examine(p.File)
	base := strings.TrimSuffix(filepath.Base(p.File), filepath.Ext(p.File))
	switch {
	case meant.MatchString(p.Err.Error()):
		return ""
	case len(x.Certificates) > 0 && x.Certificates[0].IsCA:
		return "rename it to " + base + ".crt"
	case len(x.Certificates) > 0:
		return "rename it to " + base + ".cert"
	case x.Key != "":
		return "rename it to " + keyName(filepath.Dir(p.File), base) + ".key"
	}
	return ""
}

// keyName is what the key in a file is to be named: after the certificate that
// lacks one, if it is the only one.
func keyName(dir, base string) string {
	certs, _ := filepath.Glob(filepath.Join(dir, "*.cert"))
	certs = slices.DeleteFunc(certs, func(cert string) bool {
		_, err := os.Stat(strings.TrimSuffix(cert, ".cert") + ".key")
		return err == nil
	})
	if len(certs) == 1 {
		return strings.TrimSuffix(filepath.Base(certs[0]), ".cert")
	}
	for _, suffix := range []string{"-key", "_key", ".key"} {
		base = strings.TrimSuffix(base, suffix)
	}
	return base
}

// hints are how the texts of problems go on with what is the next step here.
var hints = map[certsd.ProblemCode]string{
	certsd.WrongSuffix:    ": rename to ",
	certsd.CAWithKey:      ": if it is ",
	certsd.KeyEncrypted:   ": decrypt it ",
	certsd.DirectoryName:  ": rename it ",
	certsd.HostsFileEmpty: ": remove it ",
}

// converted is how the text of a problem goes on where a command makes a file
// of use out of one in another format.
const converted = ": convert it with "

// messageOf is the text of a problem without the next step.
func messageOf(p *certsd.Problem) string {
	text, name := p.Err.Error(), filepath.Base(p.File)
	switch before, after, _ := strings.Cut(text, converted); {
	case after != "" && !strings.Contains(after, converted):
		return before
	case p.Code == certsd.RootName:
		return fmt.Sprintf("the directory is %s, not certs.d: nothing in it is read", name)
	case p.Code == certsd.DirectoryName && unclosed.MatchString(name):
		text, _, _ = strings.Cut(text, hints[p.Code])
		return "lacks the closing underscore, and " + text
	}
	if hint := hints[p.Code]; hint != "" {
		text, _, _ = strings.Cut(text, hint)
	}
	return text
}
