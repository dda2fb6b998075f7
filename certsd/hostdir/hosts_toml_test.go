package hostdir

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestParseHostsRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ about, text, want string }{
		{"bad TOML", "server = \"https://x\"\nca = \"a", "error: /d/hosts.toml:2: invalid TOML: unterminated basic string"},
		{"a key twice", "ca = 'a'\nca = 'b'", "error: /d/hosts.toml:2: invalid TOML: key ca is already defined"},
		{"an unknown key", "server = 'x'\ncapabilitie = ['pull']", `error: /d/hosts.toml:2: capabilitie: unknown key; did you mean "capabilities"?`},
		{"a hyphen", "skip-verify = true", `error: /d/hosts.toml:1: skip-verify: unknown key; did you mean "skip_verify"?`},
		{"a capital", "Server = 'x'", `error: /d/hosts.toml:1: Server: unknown key; did you mean "server"?`},
		{"a plural", "clients = []", `error: /d/hosts.toml:1: clients: unknown key; did you mean "client"?`},
		{"another program's key", "insecure = true", `error: /d/hosts.toml:1: insecure: unknown key; did you mean "skip_verify"?`},
		{"another program's table", "[mirrors.'https://m']", `error: /d/hosts.toml:1: mirrors: unknown key; did you mean "host"?`},
		{
			"a key that means nothing", "[host.'https://m']\nforward = 'x'",
			`error: /d/hosts.toml:2: host."https://m".forward: unknown key; known here: capabilities, ca, client, skip_verify, header, override_path, dial_timeout, proxy`,
		},
		{"a wrong type", "skip_verify = 'true'", "error: /d/hosts.toml:1: skip_verify: is a string, must be true or false"},
		{"a number for the server", "server = 5", "error: /d/hosts.toml:1: server: is a number, must be a string"},
		{"a flag for the path", "override_path = 1\nserver = 'x'", "error: /d/hosts.toml:1: override_path: is a number, must be true or false"},
		{"a table for the CA", "ca = { a = 'b' }", "error: /d/hosts.toml:1: ca: is a table, must be a string or a list of strings"},
		{"a number among CAs", "ca = ['a', 1]", "error: /d/hosts.toml:1: ca: is a list with a number, must be a string or a list of strings"},
		{"a flag for the client", "client = true", "error: /d/hosts.toml:1: client: is a boolean, must be a file, a list of files or a list of [certificate, key] pairs"},
		{"three files in a pair", "client = [['a', 'b', 'c']]", "error: /d/hosts.toml:1: client: holds a list of 3 where a file or a pair [certificate, key] must be"},
		{"a number in a pair", "client = [['a', 1]]", "error: /d/hosts.toml:1: client: holds a list with a number where a file or a pair [certificate, key] must be"},
		{"a text for hosts", "host = 'https://m'", "error: /d/hosts.toml:1: host: is a string, must be a table"},
		{"a text for a host", "[host]\nm = 'x'", "error: /d/hosts.toml:2: host.m: is a string, must be a table"},
		{"hosts as a list", "[[host]]\nca = 'a'", "error: /d/hosts.toml:1: host: is a list with a table, must be a table"},
		{"one word for capabilities", "capabilities = 'pull'\nserver = 'x'", "error: /d/hosts.toml:1: capabilities: is a string, must be a list of strings"},
		{
			"an unknown capability", "[host.m]\ncapabilities = ['pull', 'pulll']",
			`error: /d/hosts.toml:2: host.m.capabilities: unknown capability "pulll"; did you mean "pull"?`,
		},
		{"a capability that means nothing", "capabilities = ['delete']\nserver = 'x'", `error: /d/hosts.toml:1: capabilities: unknown capability "delete"`},
		{"a number for a duration", "dial_timeout = 5", "error: /d/hosts.toml:1: dial_timeout: is a number, must be a string"},
		{"a duration without unit", "dial_timeout = '5'", `error: /d/hosts.toml:1: dial_timeout: "5" is not a duration such as "5s" or "500ms"`},
		{"a negative duration", "dial_timeout = '-5s'", `error: /d/hosts.toml:1: dial_timeout: "-5s" is negative`},
		{"a text for headers", "header = 'x'", "error: /d/hosts.toml:1: header: is a string, must be a table"},
		{"a number for a header", "[header]\nx = 1", "error: /d/hosts.toml:2: header.x: is a number, must be a string or a list of strings"},
		{"a header with a space", "[header]\n'x y' = '1'", `error: /d/hosts.toml:2: header."x y": is not the name of a header field`},
		{"a header that splits", "[header]\nx = \"secret\\r\\ny: 2\"", "error: /d/hosts.toml:2: header.x: has a line break or a NUL byte in its value"},
		{"another scheme", "server = 'ftp://x'", `error: /d/hosts.toml:1: server: scheme "ftp": must be https or http`},
		{"no host", "server = 'https://'", "error: /d/hosts.toml:1: server: does not name a host"},
		{"an empty host", "[host.'']", `error: /d/hosts.toml:1: host."": does not name a server`},
		{"a password", "server = 'https://user:secret@x'", "error: /d/hosts.toml:1: server: a user or password is not allowed here"},
		{"a password in a key", "[host.'https://user:secret@x']", `error: /d/hosts.toml:1: host."https://…@x": a user or password is not allowed here`},
		{
			"a password in a repeated key", "[host.'https://user:secret@x']\n[host.'https://user:secret@x']",
			"error: /d/hosts.toml:2: invalid TOML: table https://…@x already exists",
		},
		{"a query", "server = 'https://x?a=b'", "error: /d/hosts.toml:1: server: a query or fragment is not allowed here"},
		{"an impossible host", "[host.'https://x..y']", `error: /d/hosts.toml:1: host."https://x..y": host "x..y": contains ".."`},
		{"an impossible URL", "server = 'https://u:secret@x:port'", `error: /d/hosts.toml:1: server: not a URL: invalid port ":port" after host`},
		{"a word for registry_v1", "registry_v1 = 'yes'", `error: /d/hosts.toml:1: registry_v1: "yes" must be one of never, configured, always`},
		{"a flag for registry_v1", "registry_v1 = true", "error: /d/hosts.toml:1: registry_v1: is a boolean, must be a string"},
		{"our keys in a host", "[host.m]\nregistry_v1 = 'never'", `error: /d/hosts.toml:2: host.m.registry_v1: unknown key; known here: capabilities, ca, client, skip_verify, header, override_path, dial_timeout, proxy`},
		{"a number in rotate_on", "rotate_on = [403]", "error: /d/hosts.toml:1: rotate_on: is a list with a number, must be a list of strings"},
		{"401 in rotate_on", "rotate_on = ['401']", `error: /d/hosts.toml:1: rotate_on: "401": asks for credentials and never moves on to another certificate`},
		{"success in rotate_on", "rotate_on = ['200']", `error: /d/hosts.toml:1: rotate_on: "200": is neither a status from 400 to 599 nor "4xx" or "5xx"`},
		{
			"capabilities of the registry itself", "capabilities = ['pull']",
			"warning: /d/hosts.toml:1: capabilities: has no effect without server: the registry itself has every capability, below /v2",
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir, _ := Load(files("hosts.toml", tt.text), LoadOptions{Path: "/d"})
			if diff := cmp.Diff([]string{tt.want}, outcomeOf(dir).Problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostsTOMLFiles(t *testing.T) {
	t.Parallel()
	both := append(append([]byte{}, alphaPair.CertPEM...), alphaPair.KeyPEM...)
	content := func(toml string, more ...any) fstest.MapFS {
		return files(append([]any{
			"hosts.toml", toml, "m.crt", testCA.PEM, "alpha.cert", alphaPair.CertPEM, "alpha.key", alphaPair.KeyPEM,
			"beta.cert", betaPair.CertPEM, "beta.key", betaPair.KeyPEM, "both.pem", both, "sub/ca.pem", otherCA.PEM,
		}, more...)...)
	}
	for _, tt := range []struct {
		about, toml string
		want        outcome // of the Docker files, and the problems
		cas, ids    []string
	}{
		{
			"a file that is named belongs to who names it", "[host.m]\nca = 'm.crt'\nclient = [['alpha.cert', 'alpha.key']]",
			outcome{Identities: []string{"beta.cert beta"}, Problems: []string{"warning: /d/both.pem: is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate"}},
			[]string{"/d/m.crt"},
			[]string{"alpha.cert"},
		},
		{
			"a path below the directory, and outside", "[host.m]\nca = ['./sub/ca.pem', '/etc/pki/ca.pem', '../shared/ca.pem']\nclient = 'both.pem'",
			outcome{CAs: []string{"/d/m.crt test CA"}, Identities: []string{"alpha.cert alpha", "beta.cert beta"}},
			[]string{"/d/sub/ca.pem", "/etc/pki/ca.pem", "/shared/ca.pem"},
			[]string{"both.pem"},
		},
		{
			"a CA that is not there", "[host.m]\nca = 'none.crt'\nclient = ['both.pem']",
			outcome{
				CAs: []string{"/d/m.crt test CA"}, Identities: []string{"alpha.cert alpha", "beta.cert beta"},
				Problems: []string{"error: /d/hosts.toml:2: host.m.ca: /d/none.crt: cannot be read: file does not exist"},
			},
			nil,
			[]string{"both.pem"},
		},
		{
			"a pair that is not there", "[host.m]\nclient = [['none.cert', 'none.key'], 'both.pem']",
			outcome{
				CAs: []string{"/d/m.crt test CA"}, Identities: []string{"alpha.cert alpha", "beta.cert beta"},
				Problems: []string{"error: /d/hosts.toml:2: host.m.client: /d/none.cert: cannot be read: file does not exist"},
			},
			nil,
			[]string{"both.pem"},
		},
		{
			"a mismatched pair beside a usable one", "[host.m]\nclient = [['alpha.cert', 'beta.key'], 'both.pem']",
			outcome{
				CAs: []string{"/d/m.crt test CA"}, Identities: []string{"beta.cert beta"},
				Problems: []string{
					"warning: /d/hosts.toml:2: host.m.client: /d/alpha.cert: the private key does not belong to the certificate",
				},
			},
			nil,
			[]string{"both.pem"},
		},
		{
			"a pair written as two files", "[host.m]\nclient = ['alpha.cert', 'alpha.key']",
			outcome{
				CAs: []string{"/d/m.crt test CA"}, Identities: []string{"beta.cert beta"},
				Problems: []string{
					`error: /d/hosts.toml:2: host.m.client: ["alpha.cert", "alpha.key"] means two files that hold a certificate and a key each; for a pair write [["alpha.cert", "alpha.key"]]`,
					"warning: /d/both.pem: is not read: name it NAME.crt for a CA root, NAME.cert and NAME.key for a client certificate",
				},
			},
			nil, nil,
		},
	} {
		t.Run(tt.about, func(t *testing.T) {
			t.Parallel()
			dir, _ := Load(content(tt.toml), LoadOptions{Path: "/d", ReadFile: func(path string) ([]byte, error) {
				if path != "/etc/pki/ca.pem" && path != "/shared/ca.pem" {
					return nil, fs.ErrNotExist
				}
				return testCA.PEM, nil
			}})
			got := outcomeOf(dir)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if dir.config == nil {
				t.Fatal("no hosts.toml")
			}
			var cas, ids []string
			for _, ca := range dir.config.endpoints[0].cas {
				cas = append(cas, ca.File)
			}
			for _, id := range dir.config.endpoints[0].identities {
				ids = append(ids, id.Name)
			}
			if diff := cmp.Diff(tt.cas, cas); diff != "" {
				t.Errorf("CAs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ids, ids); diff != "" {
				t.Errorf("identities (-want +got):\n%s", diff)
			}
		})
	}
}
