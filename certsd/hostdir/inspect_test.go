package hostdir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	expired := testCA.Issue(certtest.Request{
		CommonName: "old",
		NotBefore:  time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC),
	})
	a := tree(t, concat(
		[]any{"reg_5000_/", nil, "reg:5000/hosts.toml", "[host.m]", "reg-5000/", nil, "other/", nil},
		[]any{"m/old.cert", expired.CertPEM, "m/old.key", expired.KeyPEM, "m/x.key", "rubbish"},
	)...)
	b := tree(t, concat(alpha("reg:5000"), beta("_default"))...)
	h := &Hosts{Roots: Roots{a, b}}
	i, err := h.Inspect("Reg:5000")
	if err != nil {
		t.Fatal(err)
	}
	short := strings.NewReplacer(a, "/A", b, "/B")
	var candidates, problems []string
	for _, c := range i.Candidates {
		candidates = append(candidates, short.Replace(c.Path)+" "+c.For+" "+string(c.State)+" "+strings.Join(c.Files, ","))
	}
	for _, p := range i.Problems {
		problems = append(problems, p.Severity.String()+": "+short.Replace(p.Error()))
	}
	if diff := cmp.Diff([]string{
		"/A/reg_5000_ reg:5000 empty ",
		"/A/reg:5000 reg:5000 used hosts.toml",
		"/B/reg_5000_ reg:5000 absent ",
		"/B/reg:5000 reg:5000 used alpha.cert,alpha.key",
		"/A/_default  absent ",
		"/B/_default  unused beta.cert,beta.key",
		"/A/m m used old.cert,old.key,x.key",
		"/A/m_443_ m absent ",
		"/A/m:443 m absent ",
		"/B/m m absent ",
		"/B/m_443_ m absent ",
		"/B/m:443 m absent ",
	}, candidates); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"warning: /A/m/x.key: no matching x.cert",
		"warning: /A/m/old.cert: CN=old has expired on 2021-01-01",
		"warning: /A/reg-5000: is not read for reg:5000: rename it to reg_5000_",
	}, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if i.Name != "reg:5000" || i.Err != nil || len(i.Host.Endpoints) != 2 {
		t.Errorf("inspection of %s: %v, %v", i.Name, i.Host, i.Err)
	}
}

func TestInspectFailure(t *testing.T) {
	t.Parallel()
	root := tree(t, "reg/hosts.toml", "clients = 'x'\nskip-verify = 1", "reg/ca.crt", "rubbish")
	i, err := (&Hosts{Roots: Roots{root}}).Inspect("reg")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range i.Problems {
		got = append(got, p.Severity.String()+": "+strings.ReplaceAll(p.Error(), root, ""))
	}
	want := []string{
		`error: /reg/hosts.toml:1: clients: unknown key; did you mean "client"?`,
		`error: /reg/hosts.toml:2: skip-verify: unknown key; did you mean "skip_verify"?`,
		"warning: /reg/ca.crt: unusable CA file: is not PEM",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if i.Host != nil || i.Err == nil {
		t.Errorf("host %v, error %v", i.Host, i.Err)
	}
	if _, err := new(Hosts).Inspect("a/b"); err == nil {
		t.Error("a path is inspected")
	}
}

func TestInspectSeesNoEarlierValue(t *testing.T) {
	t.Parallel()
	root := tree(t, alpha("reg")...)
	h := &Hosts{Roots: Roots{root}}
	if _, err := h.Lookup("reg"); err != nil {
		t.Fatal(err)
	}
	write(t, root, "reg/alpha.key", "")
	if _, err := h.Lookup("reg"); err != nil {
		t.Fatal(err)
	}
	if i, err := h.Inspect("reg"); err != nil || i.Err == nil {
		t.Errorf("the half-written pair is not reported: %v", err)
	}
}

// TestNamesAreListed and not looked at one by one, but for symbolic links.
func TestNamesAreListed(t *testing.T) {
	t.Parallel()
	root := tree(t, "a.test/", nil, "b.test/", nil, "c.test", "a file", "d.test/", nil)
	for link, target := range map[string]string{"link.test": "a.test", "dangling.test": "none", "filelink.test": "c.test"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	h, stats, reads := counted(root)
	got, err := h.Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.test", "b.test", "d.test", "link.test"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if *stats != 3 || *reads != 1 {
		t.Errorf("%d stats for three links, %d lists of one root", *stats, *reads)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	a := tree(t, "reg_5000_/", nil, "_default/", nil, "B.example/", nil, "file", "x", "..data/", nil)
	b := tree(t, "reg:5000/", nil, "[::1]_5000_/", nil)
	got, err := (&Hosts{Roots: Roots{a, b, a + "/none"}}).Names()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"[::1]:5000", "b.example", "reg:5000"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}
