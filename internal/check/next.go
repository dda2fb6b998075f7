package check

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/certsd/containerd-certsd/certsd"
)

// nextFor is what to do about a problem of the configuration.
func nextFor(p *certsd.Problem, registry string) string {
	name := filepath.Base(p.File)
	base := strings.TrimSuffix(name, filepath.Ext(name))
	switch p.Code {
	case certsd.RootUnreadable, certsd.DirectoryUnreadable, certsd.FileUnreadable:
		return "make it readable for the user that pulls: ls -ld " + p.File
	case certsd.RootName:
		return fmt.Sprintf("mv %s %s", p.File, filepath.Join(filepath.Dir(p.File), "certs.d"))
	case certsd.DirectoryName:
		return fmt.Sprintf("rename it to %s", dirName(registry))
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
	case certsd.CAPartlyUnusable:
		return "convert or remove the certificates that cannot be read"
	case certsd.KeyMissing:
		return fmt.Sprintf("put the private key beside it as %s.key", base)
	case certsd.CertificateMissing:
		return fmt.Sprintf("put the certificate beside it as %s.cert, or remove the key", base)
	case certsd.KeyMismatch:
		return "copy certificate and key again, both of the same pair"
	case certsd.KeyEncrypted:
		return fmt.Sprintf("decrypt it: openssl pkey -in %[1]s -out %[1]s", p.File)
	case certsd.PairUnusable:
		return "replace it by a certificate and its key in PEM"
	case certsd.Expired:
		return "renew it, or set this machine's clock"
	case certsd.NotYetValid:
		return "wait, or set this machine's clock"
	case certsd.NotForClients:
		return "have it issued with the extended key usage clientAuth"
	case certsd.HostsFileSyntax, certsd.HostsFileKey, certsd.HostsFileValue:
		return fmt.Sprintf("correct line %d", p.Line)
	case certsd.HostsFileNoEffect:
		return `add server = "https://HOST", or remove the key`
	case certsd.HostsFileEmpty:
		return "remove it to use none"
	case certsd.HostsFileHidden:
		return "put what it says into the first one, and remove it"
	case certsd.HostsFileHTTP:
		return "write https://"
	case certsd.SystemRootsUnreadable:
		return "reinstall the package ca-certificates"
	}
	return ""
}

// hints are how the texts of problems go on with what is the next step here.
var hints = map[certsd.ProblemCode]string{
	certsd.WrongSuffix:    ": rename to ",
	certsd.CAWithKey:      ": if it is ",
	certsd.KeyEncrypted:   ": decrypt it ",
	certsd.DirectoryName:  ": rename it ",
	certsd.HostsFileEmpty: ": remove it ",
}

// messageOf is the text of a problem without the next step.
func messageOf(p *certsd.Problem) string {
	text := p.Err.Error()
	if hint := hints[p.Code]; hint != "" {
		text, _, _ = strings.Cut(text, hint)
	}
	return text
}
