package check

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A server that has nothing but RSA key exchange is told as that; one that ends
// the handshake for another reason is not.
func TestOnlyRSA(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"r.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		suite uint16
		want  string
	}{
		"RSA alone": {
			tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
			"error tls-failed REG: it offers only RSA key exchange, which Go has switched off -> " +
				"have the server offer ECDHE (nginx: ssl_ciphers, Apache: SSLCipherSuite); meanwhile GODEBUG=tlsrsakex=1 in the environment of the process that pulls",
		},
		"RC4 alone": {
			tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA,
			"error tls-failed REG: no TLS: TLS alert 40, handshake failure, before it asked for a client certificate: it has no cipher suite or curve in common with Go -> " +
				"ask the server: openssl s_client -connect REG -servername 127.0.0.1",
		},
	} {
		srv := httptest.NewUnstartedServer(http.NotFoundHandler())
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.TLS = &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
			MaxVersion:   tls.VersionTLS12, CipherSuites: []uint16{row.suite},
		}
		srv.StartTLS()
		t.Cleanup(srv.Close)
		host, root := strings.TrimPrefix(srv.URL, "https://"), t.TempDir()
		write(t, root, of(host, files{"ca": serverCA, "alpha": alpha}))
		got := lines(run1(t, &Checker{}, root, host), root, map[string]string{"REG": host})
		t.Log(name)
		compare(t, []string{row.want, "refused: a pull would fail"}, got)
	}
}

// Apache's page for a location that asks after the handshake of TLS 1.3.
func TestApacheAsksTooLate(t *testing.T) {
	t.Parallel()
	const page = "<html><head><title>403 Forbidden</title></head><body><p>You don't have permission to access this resource." +
		"Reason: Cannot perform Post-Handshake Authentication.<br /></p></body></html>"
	for name, row := range map[string]struct {
		in   files
		want string
	}{
		"with a certificate": {
			files{"ca": serverCA, "alpha": alpha},
			"error asked-late REG: 403 Forbidden: it asks for a client certificate after the handshake of TLS 1.3, which Go does not support -> " +
				"have it ask at the start of each connection: in Apache, move SSLVerifyClient out of Location and Directory",
		},
		"without one": {
			files{"ca": serverCA}, "error all-refused REG: 403 Forbidden for a request without a client certificate -> ask the registry's owner who has access",
		},
	} {
		host, root := server{handle: status(http.StatusForbidden, page)}.start(t), t.TempDir()
		write(t, root, of(host, row.in))
		t.Log(name)
		for _, target := range []string{host, host + "/team/app:1"} {
			got := lines(run1(t, &Checker{}, root, target), root, map[string]string{"REG": host})
			if got[0] != row.want || strings.Contains(strings.Join(got, "\n"), "switch client certificates on") {
				t.Errorf("%s: %q", target, got)
			}
		}
	}
}

// What the list of CAs lets suspect of a client certificate is not said where it
// is accepted.
func TestAWorkingPullRefutesTheList(t *testing.T) {
	t.Parallel()
	middle := clientCA.Intermediate("middle")
	below := middle.Client("below")
	host, root := server{auth: tls.RequestClientCert, handle: serve(t, func(w http.ResponseWriter, _ *http.Request, client string) bool {
		if client != "below" {
			w.WriteHeader(http.StatusForbidden)
		}
		return client == "below"
	})}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "below.cert": leafOf(below), "below.key": below.KeyPEM, "middle": middle}))
	names := map[string]string{"REG": host}
	compare(t, []string{"works: a pull would work, with below.cert"}, lines(run1(t, &Checker{}, root, host+"/team/app"), root, names))
	got := lines(run1(t, &Checker{}, root, host), root, names)
	if !strings.HasPrefix(got[0], "warning intermediate-missing ROOT/REG_/below.cert: ") {
		t.Errorf("nothing is suspected of the API root alone: %q", got)
	}
}
