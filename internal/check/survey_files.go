package check

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/nextstep"
	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// The kinds of files.
const (
	kindCA     = "CA roots"
	kindClient = "client certificate"
	kindKey    = "private key"
	kindHosts  = "hosts.toml"
	kindUnread = "not read"
)

// fileSurvey looks at one file of a host directory.
type fileSurvey struct{ dossier }

// file describes a file of a host directory; ok is false for a directory.
func (s fileSurvey) file(path string) (f File, ok bool) {
	x := s.files.examine(path)
	if x.Mode.IsDir() {
		return f, false
	}
	f = File{Path: path, Kind: s.files.kind(path), Key: x.Key}
	if x.Mode != 0 {
		f.Mode = fmt.Sprintf("%#o", x.Mode.Perm())
	}
	if x.Err != nil {
		f.Error = x.Err.Error()
	}
	for _, cert := range x.Certificates {
		f.Certificates = append(f.Certificates, s.certificate(cert))
	}
	if f.Kind == kindClient && len(x.Certificates) > 0 {
		s.match(&f, x)
	}
	if x.Key != "" && !x.Elsewhere && x.Mode.Perm()&0o077 != 0 && f.Kind != kindUnread {
		s.find(Finding{
			Code: KeyPermissions, Where: path,
			Message: "holds a private key that users other than its owner can use: its mode is " + f.Mode,
			Next:    "chmod 600 " + plainfile.Quote(path),
		})
	}
	return f, true
}

// match finds the key of a client certificate, and whether the two belong together.
func (s fileSurvey) match(f *File, x hostdir.File) {
	if id := s.files.identity(x.Path); id != nil && id.Device() != "" {
		s.matchDevice(f, id)
		return
	}
	key := x
	if x.Key == "" {
		key = s.files.examine(s.files.keyFile(x.Path))
	}
	if key.Key == "" {
		return
	}
	f.KeyFile = key.Path
	if key.HasKey() {
		matches := key.HasKeyOf(x.Certificates[0])
		f.KeyMatches = &matches
	}
}

// matchDevice tries to sign with a key that is not a file.
func (s fileSurvey) matchDevice(f *File, id *certsd.Identity) {
	f.KeyFile, f.KeyDevice = id.KeyFile, id.Device()
	err := id.TrySigning(rand.Reader)
	signs := err == nil
	f.KeySigns = &signs
	if signs || errors.Is(err, hostdir.ErrSignature) {
		f.KeyMatches = &signs
	}
	var failed *certsd.KeyError
	if errors.As(err, &failed) {
		s.find(Finding{
			Code: KeyDoesNotSign, Where: f.KeyFile,
			Message: fmt.Sprintf("the %s did not sign: %s", failed.Device, nextstep.Cause(failed.Err)),
			Next:    cmp.Or(failed.Next(), "make sure that it is present and ready, and check again"),
		})
	}
}

// timeWords says how long ago a certificate ended, or when it becomes valid.
func (s survey) timeWords(p *certsd.Problem) string {
	for _, cert := range s.files.examine(p.File).Certificates {
		if now := s.now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
			return printable(cert.Subject.String()) + " " + validity(cert, s.now())
		}
	}
	return p.Err.Error()
}
