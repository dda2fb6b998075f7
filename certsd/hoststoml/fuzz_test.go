package hoststoml

import (
	"slices"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// FuzzHostsTOML feeds any text to the parser of hosts.toml. Whatever it takes
// must be usable; whatever it refuses must name the file.
func FuzzHostsTOML(f *testing.F) {
	for _, seed := range []string{
		"",
		"server = 'https://reg:5000/x'\noverride_path = true\n",
		"ca = 'a'\n[host.'https://m']\nclient = [['a', 'b'], 'c']\ncapabilities = ['pull']\n[host.'https://m'.header]\nx = ['1', '2']\n",
		"host.a.b = 1\nhost = { x = { ca = 1 } }",
		"[[host]]\n[[host]]",
		"proxy = 'http://u:p@h:1'\n[host.m]\nproxy = 'none'", "registry_v1 = 'always'\nrotate_on = ['5xx']\ndial_timeout = '1s'",
		"\"\\u0000\" = 1\n['']\n'' = ''",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hosts, problems := Parse("hosts.toml", []byte(text))
		failed := slices.ContainsFunc(problems, (*Problem).Fatal)
		if failed != (hosts == nil) {
			t.Fatalf("hosts %v with the problems %v", hosts, problems)
		}
		for _, p := range problems {
			if text := p.Key + p.Err.Error(); strings.ContainsAny(text, "\n\x00") {
				t.Errorf("a problem reads %q", text)
			}
		}
		if hosts == nil {
			return
		}
		if len(hosts.Endpoints) == 0 {
			t.Fatal("no endpoint")
		}
		for _, e := range hosts.Endpoints {
			if e.Host == "" {
				continue
			}
			if _, err := hostname.Canonical(e.Host); err != nil || e.Scheme != "https" && e.Scheme != "http" || e.Capabilities == 0 {
				t.Errorf("endpoint %+v: %v", e, err)
			}
		}
	})
}
