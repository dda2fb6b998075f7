package check

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// The three forms of a report about the same registry.
func TestForms(t *testing.T) {
	t.Parallel()
	host, root := server{auth: tls.RequestClientCert, handle: only("alpha")}.start(t), t.TempDir()
	write(t, root, of(host, files{"ca": serverCA, "alpha": alpha, "host.toml": ""}))
	report := &Report{Version: Version, Registries: []*Registry{run1(t, &Checker{}, root, host)}}
	report.Findings = []Finding{{Severity: isWarning, Code: StockTwoRoots, Where: "config.toml", Message: "has two", Next: "give it one"}}
	_, port, _ := strings.Cut(host, ":")
	printed := func(write func(*bytes.Buffer) error) string {
		t.Helper()
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		text := strings.NewReplacer(root, "ROOT", host, "REG", hostname.ToCreate(host), "REG_", port, "PORT").Replace(b.String())
		// The columns are as wide as the temporary directory's name.
		return regexp.MustCompile(`(\S)  +`).ReplaceAllString(text, "$1  ")
	}
	got := printed(func(b *bytes.Buffer) error { return WriteLines(b, report) })
	if diff := cmp.Diff(`warning - stock-two-roots config.toml: has two -> give it one
root REG ROOT: searched
directory REG ROOT/REG_: used, named after REG, and the first with something in it
file REG ROOT/REG_/alpha.cert: client certificate, subject CN=alpha, issuer CN=clients, ECDSA P-256, expires in 23 hours, key alpha.key matches, mode 0600
file REG ROOT/REG_/alpha.key: private key, ECDSA P-256, mode 0600
file REG ROOT/REG_/ca.crt: CA roots, subject CN=servers, issuer CN=servers, ECDSA P-256, expires in 23 hours, mode 0600
file REG ROOT/REG_/host.toml: not read, mode 0600
directory REG ROOT/REG: absent, there is none (named after REG)
directory REG ROOT/_default: absent, there is none (for registries without a directory)
endpoint REG https://REG/v2: pull resolve push referrers, the configured CA roots alone, ca ROOT/REG_/ca.crt, client ROOT/REG_/alpha.cert
tcp REG https://REG/v2: connected to REG
tls REG https://REG/v2: TLS 1.3, TLS_AES_128_GCM_SHA256, verified
chain REG https://REG/v2: subject CN=127.0.0.1, issuer CN=servers, names 127.0.0.1, ECDSA P-256, expires in 23 hours
asks REG https://REG/v2: for a client certificate of CN=clients
answer REG https://REG/v2: no certificate, /v2/ 403 Forbidden, /v1/_ping 403 Forbidden
answer REG https://REG/v2: alpha.cert offered, /v2/ 200 OK, /v1/_ping 200 OK
uses REG https://REG/v2: alpha.cert, answered with 200, v2
warning REG file-name ROOT/REG_/host.toml: is not read: did you mean hosts.toml? -> rename it to hosts.toml: mv -n ROOT/REG_/host.toml ROOT/REG_/hosts.toml
verdict REG works: a pull would work: https://REG/v2 answers, with alpha.cert
`, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	got = printed(func(b *bytes.Buffer) error { return WriteTable(b, report, Table{Columns: 400}) })
	//nolint:dupword // columns of a table
	if diff := cmp.Diff(`In general
  warning: config.toml (stock-two-roots)
      has two
      -> give it one

REG

Directories looked at, in order
  ROOT  searched  root
  ROOT/REG_  used  named after REG, and the first with something in it
  ROOT/REG  absent  there is none (named after REG)
  ROOT/_default  absent  there is none (for registries without a directory)

ROOT/REG_
  FILE  READ AS  SUBJECT  ISSUER  VALIDITY  KEY  MODE
  alpha.cert  client certificate  CN=alpha  CN=clients  expires in 23 hours  ECDSA P-256, alpha.key is its key  0600
  alpha.key  private key  ECDSA P-256  0600
  ca.crt  CA roots  CN=servers  CN=servers  expires in 23 hours  ECDSA P-256  0600
  host.toml  not read  0600

https://REG/v2
  for  pull, resolve, push, referrers
  CA roots  the configured CA roots alone
  ROOT/REG_/ca.crt
  client certificates  ROOT/REG_/alpha.cert
  connection  connected to REG
  TLS  TLS 1.3, TLS_AES_128_GCM_SHA256, verified
  its certificate  subject CN=127.0.0.1, issuer CN=servers, names 127.0.0.1, ECDSA P-256, expires in 23 hours
  it asks  for a client certificate of CN=clients
  a pull uses  alpha.cert, answered with 200, v2
  CERTIFICATE  OFFERED  /v2/  /v1/_ping
  none  no  403 Forbidden  403 Forbidden
  alpha.cert  yes  200 OK  200 OK

Findings
  warning: ROOT/REG_/host.toml (file-name)
      is not read: did you mean hosts.toml?
      -> rename it to hosts.toml: mv -n ROOT/REG_/host.toml ROOT/REG_/hosts.toml

REG: a pull would work: https://REG/v2 answers, with alpha.cert
`, strings.ReplaceAll(got, "                       ROOT", "  ROOT")); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	if err := WriteJSON(&b, report); err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(b.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if again.Verdict != Works {
		t.Errorf("overall verdict %q", again.Verdict)
	}
	again.Verdict = report.Verdict
	if diff := cmp.Diff(report, &again, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("JSON read again (-want +got):\n%s", diff)
	}
}
