package certsd

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

func TestExpiredIdentitiesArePassedOver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	expired := clientCA.Issue(certtest.Request{CommonName: "expired", NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})
	future := clientCA.Issue(certtest.Request{CommonName: "future", NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)})
	for name, row := range map[string]struct{ others, want []string }{
		"while another is left": {[]string{"m", "n"}, []string{"m", "n"}},
		"but not if all are":    {nil, []string{"expired", "future"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(403)})
			dir := newCertsDir(t)
			path := dir.add(t, s.host, row.others...)
			for name, pair := range map[string]*certtest.Pair{"0": expired, "1": future} {
				if err := pair.Write(path, name); err != nil {
					t.Fatal(err)
				}
			}
			var warnings []string
			tr := dir.transport(t)
			tr.Hooks.OnWarning = func(err error) { warnings = append(warnings, strings.ReplaceAll(err.Error(), path+"/", "")) }
			ctx, trail := WithTrail(t.Context())
			for range 2 {
				if _, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, "GET", s.URL+"/v2/", "")); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(append(row.want, row.want...), s.clients()); diff != "" {
				t.Errorf("clients (-want +got):\n%s", diff)
			}
			if row.others == nil {
				return
			}
			skipped := 0
			for _, a := range trail.Attempts() {
				if a.Skipped != "" {
					skipped++
				}
			}
			if skipped != 2 {
				t.Errorf("%d skipped identities in the trail, want each once:\n%s", skipped, trail)
			}
			want := []string{
				"0.cert: passed over, because it expired on " + hostdir.Day(expired.Cert.NotAfter),
				"1.cert: passed over, because it is not valid before " + future.Cert.NotBefore.UTC().Format(time.RFC3339),
			}
			if diff := cmp.Diff(want, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// The server may accept no signature a key can make.
func TestKeyOfAnUnsupportedType(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
	// An ECDSA key cannot make the only signatures it may be used for.
	odd := pairOf("a").TLS
	odd.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.PSSWithSHA256}
	tr := newCertsDir(t).transport(t)
	rt := tr.ForEndpoint(s.host, &Endpoint{
		Scheme: "https", Host: s.host, Path: "/v2", CAs: []hostdir.CA{{Certificates: []*x509.Certificate{serverCA.Cert}}},
		Identities: []*Identity{{Name: "a.cert", Certificate: &odd}, {Name: "b.cert", Certificate: &pairOf("b").TLS}},
	}, nil)
	var reasons []string
	tr.Hooks.OnRotate = func(r Rotation) { reasons = append(reasons, r.Reason) }
	get(t, rt, s.URL+"/v2/")
	if diff := cmp.Diff([]string{"b"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"key type not accepted"}, reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

// The server's list of authorities is a hint that need not be true: each
// certificate is presented nevertheless.
func TestAuthoritiesTheServerNamesAreNoFilter(t *testing.T) {
	t.Parallel()
	s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, tls: func(c *tls.Config) {
		c.ClientCAs = certtest.NewCA("somebody else").Pool()
	}})
	dir := newCertsDir(t)
	dir.add(t, s.host, "a")
	get(t, view(t, dir.transport(t), s.host, nil), s.URL+"/v2/")
	if diff := cmp.Diff([]string{"a"}, s.clients()); diff != "" {
		t.Errorf("clients (-want +got):\n%s", diff)
	}
}
