package check

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// What ends soon is a warning, wherever it is: in a file, in a _default
// directory, at the server.
func TestEndings(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	ending := certtest.NewCA("ending").Cert.NotAfter
	for _, tt := range []struct {
		name     string
		before   time.Duration
		expiring time.Duration
		code     int
		want     []string
	}{
		{name: "fresh", before: 12 * time.Hour, code: ExitWorks, want: []string{worksAs}},
		{name: "a fifth of its life", before: 3 * time.Hour, code: ExitWorks, want: []string{
			"warning ca-expires-soon ROOT/REG_/ca.crt: CN=servers expires in 3 hours" + nextCA,
			`warning expires-soon ROOT/REG_/alpha.cert: CN=alpha expires in 3 hours -> renew it`,
			`warning server-expires-soon REG: its certificate "CN=127.0.0.1" expires in 3 hours -> have it renewed at the server`, worksAs,
		}},
		{name: "asked for", before: 12 * time.Hour, expiring: 30 * day, code: ExitRefused, want: []string{
			"warning ca-expires-soon ROOT/REG_/ca.crt: CN=servers expires in 12 hours" + nextCA,
			`warning expires-soon ROOT/REG_/alpha.cert: CN=alpha expires in 12 hours -> renew it`,
			`warning server-expires-soon REG: its certificate "CN=127.0.0.1" expires in 12 hours -> have it renewed at the server`, worksAs,
		}},
		{name: "asked for less", before: 3 * time.Hour, expiring: time.Hour, code: ExitWorks, want: []string{worksAs}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host, root := server{auth: tls.RequireAndVerifyClientCert}.start(t), t.TempDir()
			write(t, root, of(host, files{"ca": serverCA, "alpha": alpha}))
			write(t, root, files{"_default/ca": serverCA})
			// More than that, for the words: the certificates are a little older.
			c := &Checker{Expiring: tt.expiring, Now: func() time.Time { return ending.Add(-tt.before - 20*time.Minute) }}
			r := run1(t, c, root, host)
			compare(t, tt.want, lines(r, root, map[string]string{"REG": host}))
			report := &Report{Registries: []*Registry{r}}
			if code := report.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

const (
	nextCA  = " -> put the CA that replaces it beside it, in a separate *.crt, before servers switch to it"
	worksAs = "works: a pull would work: https://REG/v2 answers, with alpha.cert"
)

// The CA that a server shows ends, too, and so do those of nobody's own
// directory and of a client certificate's chain.
func TestEndingsOfChains(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	chained := string(alpha.CertPEM) + string(clientCA.PEM)
	write(t, root, files{"_default/ca": serverCA, "reg.test/alpha.cert": chained, "reg.test/alpha.key": alpha.KeyPEM})
	now := alpha.TLS.Leaf.NotAfter.Add(-3*time.Hour - time.Minute)
	c := &Checker{Roots: certsd.Roots{root}, Offline: true, Expiring: 4 * time.Hour, Now: func() time.Time { return now }}
	report, err := c.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	compare(t, []string{
		"warning ca-expires-soon ROOT/_default/ca.crt: CN=servers expires in 3 hours" + nextCA,
		": ",
	}, lines(&Registry{Findings: report.Findings}, root, nil))
	compare(t, []string{
		"warning expires-soon ROOT/reg.test/alpha.cert: CN=alpha expires in 3 hours -> renew it",
		"warning expires-soon ROOT/reg.test/alpha.cert: the CA CN=clients expires in 3 hours, which signed the client certificate -> have the certificate reissued, with the chain of the CA that replaces this one",
		usable,
	}, lines(report.Registries[0], root, nil))
	if code := report.ExitCode(); code != ExitRefused {
		t.Errorf("exit code %d", code)
	}

	pair := serverCA.Server("127.0.0.1")
	pair.TLS.Certificate = append(pair.TLS.Certificate, serverCA.Cert.Raw)
	host := server{pair: pair}.start(t)
	write(t, root, of(host, files{"ca": serverCA}))
	r := run1(t, &Checker{Now: func() time.Time { return now }}, root, host)
	compare(t, []string{
		"warning ca-expires-soon ROOT/REG_/ca.crt: CN=servers expires in 3 hours" + nextCA,
		`warning server-expires-soon REG: its certificate "CN=127.0.0.1" expires in 3 hours -> have it renewed at the server`,
		`warning server-expires-soon REG: the CA "CN=servers" that it sends expires in 3 hours -> have its certificate reissued, with the chain of the CA that replaces this one`,
		"works: a pull would work: https://REG/v2 answers, without a client certificate",
	}, lines(r, root, map[string]string{"REG": host}))
}

// What ends soon is said of a directory, too, of which nothing can be used.
func TestEndingsOfWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write(t, root, files{"reg.test/ca": serverCA, "reg.test/alpha": alpha, "reg.test/hosts.toml": "sever = 1\n"})
	now := alpha.TLS.Leaf.NotAfter.Add(-3*time.Hour - time.Minute)
	c := &Checker{Roots: certsd.Roots{root}, Offline: true, Expiring: 4 * time.Hour, Now: func() time.Time { return now }}
	r, err := c.Registry(t.Context(), "reg.test")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, []string{
		`error hosts-toml-key ROOT/reg.test/hosts.toml:1: sever: unknown key; did you mean "server"? -> correct line 1`,
		"warning expires-soon ROOT/reg.test/alpha.cert: CN=alpha expires in 3 hours -> renew it",
		"warning ca-expires-soon ROOT/reg.test/ca.crt: CN=servers expires in 3 hours" + nextCA,
		"unusable: nothing can be done with this configuration",
	}, lines(r, root, nil))
	if !r.Expiring {
		t.Error("nothing ends")
	}
}
