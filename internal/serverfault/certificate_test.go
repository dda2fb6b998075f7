package serverfault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/serverfault"
)

// maker makes certificates with faults, which certtest has none of.
type maker struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (m *maker) issue(t *testing.T, name string, change func(*x509.Certificate)) *maker {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	if change != nil {
		change(tmpl)
	}
	parent, signer := tmpl, key
	if m != nil {
		parent, signer = m.cert, m.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &maker{cert, key}
}

// again makes another certificate for the same key, signed by itself.
func (m *maker) again(t *testing.T, name string, change func(*x509.Certificate)) *maker {
	t.Helper()
	tmpl := *m.cert
	tmpl.RawSubject, tmpl.Subject = nil, pkix.Name{CommonName: name}
	change(&tmpl)
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, m.key.Public(), m.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &maker{cert, m.key}
}

// utf8Name is a distinguished name of one common name in UTF8String.
func utf8Name(t *testing.T, common string) []byte {
	t.Helper()
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"utf8"`
	}
	inner, err := asn1.Marshal(attribute{asn1.ObjectIdentifier{2, 5, 4, 3}, common})
	if err != nil {
		t.Fatal(err)
	}
	rdn, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: inner})
	if err != nil {
		t.Fatal(err)
	}
	all, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSequence, IsCompound: true, Bytes: rdn})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, n := range names {
			if n, ok := strings.CutPrefix(n, "IP:"); ok {
				c.IPAddresses = append(c.IPAddresses, net.ParseIP(n))
				continue
			}
			c.DNSNames = append(c.DNSNames, n)
		}
	}
}

// TestServerFault: what crypto/x509 says, and what is so.
func TestServerFault(t *testing.T) {
	t.Parallel()
	var none *maker
	root := none.issue(t, "Root", authority)
	again := none.issue(t, "Root", authority)
	inter := root.issue(t, "Inter", authority)
	interAgain := root.issue(t, "Inter", authority)
	noCA := none.issue(t, "Not A CA", nil)
	late := none.issue(t, "Late", func(c *x509.Certificate) { authority(c); c.NotAfter = time.Now().Add(-time.Minute) })
	notCA := root.issue(t, "Not A CA", nil)
	leaf := root.issue(t, "leaf", named("r.test"))
	below := inter.issue(t, "below", named("r.test"))
	// A signature with SHA-1: crypto/x509 makes none, so the algorithm is named afterwards.
	// The same name as OpenSSL writes it: in another encoding.
	utf8 := func(c *x509.Certificate) { authority(c); c.RawSubject = utf8Name(t, c.Subject.CommonName) }
	otherwise := none.issue(t, "Root", utf8)
	twin := root.again(t, "Root", utf8)
	weak := *leaf.cert
	weak.SignatureAlgorithm = x509.ECDSAWithSHA1
	for name, tt := range map[string]struct {
		chain             []*maker
		roots             []*maker
		host              string
		kind              serverfault.Kind
		says, next, never string
	}{
		"a CA of the same name": {
			chain: []*maker{leaf}, roots: []*maker{again}, kind: serverfault.UnknownAuthority,
			says: `its certificate is signed by "CN=Root": a CA of this name is known, which is in DIR/ca.crt, and its key has not signed this certificate`,
			next: "get the present certificate of that CA", never: "not among",
		},
		"a CA of the same name in another encoding": {
			chain: []*maker{leaf}, roots: []*maker{otherwise}, kind: serverfault.UnknownAuthority,
			says: `its certificate is signed by "CN=Root": a CA of this name is known, which is in DIR/ca.crt, and its key has not signed this certificate`, never: "not among",
		},
		"the CA itself with its name in another encoding": {
			chain: []*maker{leaf}, roots: []*maker{twin}, kind: serverfault.ServerUnverified,
			says: `its certificate is signed by "CN=Root", which is in DIR/ca.crt, but writes that name in another encoding`, next: "at the server", never: "not among",
		},
		"an intermediate CA of the same name": {
			chain: []*maker{below, interAgain}, roots: []*maker{root}, kind: serverfault.UnknownAuthority,
			says: `its certificate is signed by "CN=Inter": a CA of this name is known, which the server sends, and its key has not signed`,
		},
		"SHA-1": {
			chain: []*maker{{cert: &weak}}, roots: []*maker{root}, kind: serverfault.ServerUnverified,
			says: "its certificate is signed with ECDSA-SHA1, which is no longer accepted", next: "at the server", never: "not among",
		},
		"CA:FALSE in the directory": {
			chain: []*maker{noCA.issue(t, "leaf", named("r.test"))}, roots: []*maker{noCA}, kind: serverfault.ServerUnverified,
			says: `its certificate is signed by "CN=Not A CA", which is in DIR/ca.crt and may not sign certificates: its basic constraints say CA:FALSE`, never: "not among",
		},
		"CA:FALSE at the server": {
			chain: []*maker{notCA.issue(t, "leaf", named("r.test")), notCA}, roots: []*maker{root}, kind: serverfault.ServerUnverified,
			says: `its certificate is signed by "CN=Not A CA", which the server sends and may not sign certificates`,
		},
		"a CA that may not sign": {
			chain: []*maker{none.issue(t, "R", func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCRLSign }).issue(t, "leaf", named("r.test"))},
			roots: []*maker{root}, kind: serverfault.UnknownAuthority, says: `signed by "CN=R", which is not among`,
		},
		"an expired CA": {
			chain: []*maker{late.issue(t, "leaf", named("r.test"))}, roots: []*maker{late}, kind: serverfault.ServerExpired,
			says: `the CA certificate in DIR/ca.crt, "CN=Late" expired `, next: "put the CA's renewed certificate into DIR in place of ca.crt",
		},
		"without the intermediate CA": {
			chain: []*maker{below}, roots: []*maker{root}, kind: serverfault.UnknownAuthority,
			says: `the server does not send the certificate of "CN=Inter"`, next: "if it is an intermediate CA, fix it at the server",
		},
		"with all but the root": {
			chain: []*maker{below, inter}, roots: []*maker{again.issue(t, "Other", authority)}, kind: serverfault.UnknownAuthority,
			says: `signed by "CN=Root", which is not among the CA roots in DIR`, next: "put that CA's certificate into DIR as NAME.crt", never: "intermediate",
		},
		"signed by itself": {
			chain: []*maker{none.issue(t, "self", named("r.test"))}, roots: []*maker{root}, kind: serverfault.UnknownAuthority,
			says: `its certificate "CN=self" is signed by itself`,
		},
		"an address as a DNS name": {
			chain: []*maker{root.issue(t, "leaf", named("192.0.2.1", "r"))}, roots: []*maker{root}, host: "192.0.2.1", kind: serverfault.WrongName,
			says: "its certificate names 192.0.2.1 as a DNS name (DNS:192.0.2.1); an address has to be there as IP:192.0.2.1", next: "subjectAltName=IP:192.0.2.1",
		},
		"an IPv6 address as a DNS name": {
			chain: []*maker{root.issue(t, "leaf", named("2001:DB8::1"))}, roots: []*maker{root}, host: "2001:db8::1", kind: serverfault.WrongName,
			says: "an address has to be there as IP:2001:db8::1",
		},
		"an address that it is not for": {
			chain: []*maker{root.issue(t, "leaf", named("r", "IP:192.0.2.2"))}, roots: []*maker{root}, host: "192.0.2.1", kind: serverfault.WrongName,
			says: "its certificate is for r, 192.0.2.2, not for 192.0.2.1", next: "use one of these names for the registry, or have it reissued with 192.0.2.1 among its subject alternative names: subjectAltName=IP:192.0.2.1",
		},
		"a name with a port": {
			chain: []*maker{root.issue(t, "leaf", named("R.test:5000"))}, roots: []*maker{root}, kind: serverfault.WrongName,
			says: `has the name "R.test:5000"; the name of a host must be there alone`,
		},
		"a common name alone": {
			chain: []*maker{root.issue(t, "r.test", nil)}, roots: []*maker{root}, kind: serverfault.WrongName,
			says: `no subject alternative names, and its common name "r.test" does not count`, next: "subjectAltName=DNS:r.test",
		},
		"for clients": {
			chain: []*maker{root.issue(t, "leaf", func(c *x509.Certificate) {
				named("r.test")(c)
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			})},
			roots: []*maker{root}, kind: serverfault.ServerUnverified, says: `its certificate "CN=leaf" is not for servers`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serverfault.Chain{Host: tt.host, Dir: "DIR"}
			if c.Host == "" {
				c.Host = "r.test"
			}
			o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: c.Host}
			for _, m := range tt.roots {
				o.Roots.AddCert(m.cert)
				c.CAs = append(c.CAs, hostdir.CA{File: "DIR/ca.crt", Certificates: []*x509.Certificate{m.cert}})
			}
			for i, m := range tt.chain {
				c.Chain = append(c.Chain, m.cert)
				if i > 0 {
					o.Intermediates.AddCert(m.cert)
				}
			}
			if _, c.Err = c.Chain[0].Verify(o); c.Err == nil {
				t.Fatal("it is verified")
			}
			f := c.Fault()
			if f.Kind != tt.kind || !strings.Contains(f.Message, tt.says) || !strings.Contains(f.Next, tt.next) || f.Next == "" ||
				tt.never != "" && strings.Contains(f.Message+f.Next, tt.never) {
				t.Errorf("of %q: %s %q -> %q", c.Err, f.Kind, f.Message, f.Next)
			}
		})
	}
}
