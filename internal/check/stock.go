package check

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/discreet"
	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/resolver"
)

// inRoot returns a function that finds a host's directory as containerd's transfer
// service does.
func inRoot(root string) func(string) (string, error) {
	if root == "" {
		return func(string) (string, error) { return "", errdefs.ErrNotFound }
	}
	return config.HostDirFromRoot(root)
}

// inRoots returns a function that finds a host's directory as CRI does when it pulls by
// itself.
func inRoots(roots certsd.Roots) func(string) (string, error) {
	return func(host string) (string, error) {
		for _, root := range roots {
			dir, err := config.HostDirFromRoot(root)(host)
			if dir != "" || err != nil && !errdefs.IsNotFound(err) {
				return dir, err
			}
		}
		return "", errdefs.ErrNotFound
	}
}

// stockProber asks as stock containerd does.
type stockProber struct {
	dossier
	// converted is the protocol of the image that the pull converted, "" if none.
	converted string
}

// byStock returns the verdict for a way in which containerd asks the registry without
// certsd. It reads the directory with containerd's own code and asks for the API root
// with the result. A host gets only its own settings; no redirect is followed and no
// token fetched, because containerd would show its client certificate there, too.
func (s stockProber) byStock(ctx context.Context, p plan) (Verdict, string) {
	name := s.inspection.Name
	silent, kept := discreet.Kept(ctx)
	hosts, err := stockHosts(silent, name, p.dirs)
	dir, _ := p.dirs(name)
	passes := err == nil && dir != "" && s.passedOver(filepath.Join(dir, kindHosts), kept())
	if err != nil {
		return Refused, "stock containerd cannot use the directory: " + printable(err.Error())
	}
	if s.Offline {
		return s.report.Verdict, s.report.Reason
	}
	switch {
	case s.v1():
		return Refused, "stock containerd cannot pull Registry v1"
	case s.converted == resolver.ProtocolSchema1:
		return Refused, "stock containerd cannot pull schema 1 images"
	}
	where := "it reads " + dir
	switch {
	case dir == "":
		where = "it finds no directory"
	case passes:
		where += " without its hosts.toml"
	}
	var problems []string
	for _, host := range hosts {
		if !host.Capabilities.Has(docker.HostCapabilityPull) || !host.Capabilities.Has(docker.HostCapabilityResolve) {
			continue
		}
		problem := s.askAsStock(ctx, host)
		if problem == "" {
			return s.report.Verdict, s.report.Reason
		}
		problems = append(problems, problem)
	}
	if len(problems) == 0 {
		return Refused, "stock containerd has no server to pull from: " + where
	}
	return Refused, fmt.Sprintf("a pull by stock containerd would fail: %s, and %s", where, joined(problems))
}

// passedOver reports whether containerd cannot read a hosts.toml, which it logs as an
// error and ignores, and finds why.
func (s stockProber) passedOver(file string, errs []error) bool {
	if len(errs) == 0 {
		return false
	}
	f := Finding{
		Code: StockHostsFile, Where: file,
		Message: "stock containerd cannot read it, and passes it over: " + printable(errs[0].Error()),
		Next:    "correct it, or let certsd pull: see https://github.com/certsd/containerd-certsd/blob/main/config.toml.example",
	}
	if data, err := plainfile.Read(file); err == nil && plainfile.HasMark(data) {
		f.Message = "stock containerd cannot read it, and passes it over: it begins with a byte order mark"
		f.Next = "remove it: " + plainfile.WithoutMark(file)
	}
	s.find(f)
	return true
}

// stockHosts returns the servers that containerd would ask. A registry on this machine
// is asked over TLS if that is configured for it; containerd's fallback to plain HTTP
// is not tried.
func stockHosts(ctx context.Context, name string, dirs func(string) (string, error)) ([]docker.RegistryHost, error) {
	hosts, err := config.ConfigureHosts(ctx, config.HostOptions{HostDir: dirs})(name)
	if err == nil && slices.ContainsFunc(hosts, func(h docker.RegistryHost) bool {
		_, plain := h.Client.Transport.(*http.Transport)
		return !plain
	}) {
		return config.ConfigureHosts(ctx, config.HostOptions{HostDir: dirs, DefaultScheme: "https"})(name)
	}
	return hosts, err
}

// askAsStock asks one server as stock containerd does, and returns why a pull would
// fail, or "".
func (s stockProber) askAsStock(ctx context.Context, host docker.RegistryHost) string {
	transport, ok := host.Client.Transport.(*http.Transport)
	if !ok {
		// The hosts.toml says http:// and has TLS settings: see stockHosts.
		return ""
	}
	defer transport.CloseIdleConnections()
	s.waiting(ctx, "the answer of %s to stock containerd", host.Host)
	var chosen stockChoice
	if transport.TLSClientConfig != nil {
		chosen.certificates = transport.TLSClientConfig.Certificates
		transport.TLSClientConfig.GetClientCertificate = chosen.choose
	}
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	url := host.Scheme + "://" + host.Host + host.Path + "/"
	resp, err := send(ctx, &http.Client{Transport: transport, CheckRedirect: stay}, url, host.Header)
	if err != nil {
		return "at " + host.Host + ": " + wordsOf(err) + chosen.words(s.inspection)
	}
	drain(resp)
	if status, refused := s.refusedAsStock(resp.StatusCode, chosen.identity(s.inspection)); refused {
		return fmt.Sprintf("%s answers %d%s", host.Host, status, chosen.words(s.inspection))
	}
	return ""
}

// refusedAsStock returns the status that decides a pull, and whether it makes the pull
// fail: the repository's answer to the same certificate in the pull that was tried,
// else the API root's status.
func (s stockProber) refusedAsStock(status int, identity string) (int, bool) {
	if s.report.Pull != nil {
		for _, reply := range slices.Backward(s.report.Pull.Requests) {
			if reply.Identity == identity && reply.Status != 0 && reply.Status != http.StatusUnauthorized {
				return reply.Status, reply.Status >= 400 && reply.Status != http.StatusNotFound
			}
		}
	}
	return status, status >= 400 && status != http.StatusUnauthorized
}

// stockChoice chooses a client certificate as crypto/tls does from a list: the first
// that the server's list of CAs admits.
type stockChoice struct {
	certificates []tls.Certificate
	asked        bool
	presented    *tls.Certificate
}

func (s *stockChoice) choose(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	s.asked = true
	for i := range s.certificates {
		if info.SupportsCertificate(&s.certificates[i]) == nil {
			s.presented = &s.certificates[i]
			return s.presented, nil
		}
	}
	return new(tls.Certificate), nil
}

// identity returns the name of the certificate that was presented, or "".
func (s *stockChoice) identity(i *hostdir.Inspection) string {
	if s.presented == nil || len(s.presented.Certificate) == 0 {
		return ""
	}
	for _, e := range i.Host.Endpoints {
		for _, id := range e.Identities {
			if id.Certificate != nil && len(id.Certificate.Certificate) > 0 && slices.Equal(id.Certificate.Certificate[0], s.presented.Certificate[0]) {
				return id.Name
			}
		}
	}
	return "a client certificate"
}

func (s *stockChoice) words(i *hostdir.Inspection) string {
	switch identity := s.identity(i); {
	case identity != "" && len(s.certificates) > 1:
		return fmt.Sprintf(" to %s, the one of %d certificates that it presents", identity, len(s.certificates))
	case identity != "":
		return " to " + identity
	case s.asked:
		return ", without a client certificate"
	}
	return ""
}
