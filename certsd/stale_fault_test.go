package certsd

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// A changed directory that cannot be used leaves the last good one in use. Where
// that one is refused, what is wrong with the files is told first: they may say
// what would be accepted.
func TestWhatKeepsAChangedDirectoryFromUseIsTold(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ file, text, want string }{
		"no TOML":        {"hosts.toml", "server = \"https://HOST\"\nclient [\n", "/hosts.toml:2: invalid TOML"},
		"an unknown key": {"hosts.toml", "server = \"https://HOST\"\nclients = [[\"beta.cert\", \"beta.key\"]]\n", "/hosts.toml:2: clients: "},
		"a wrong value":  {"hosts.toml", "server = \"https://HOST\"\nclient = 3\n", "/hosts.toml:2: client: "},
		"a CA":           {"ca.crt", "nothing", "/ca.crt: unusable CA file"},
		"UTF-16":         {"hosts.toml", "\xff\xfes\x00e\x00r\x00v\x00e\x00r\x00", "/hosts.toml: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert, handle: allow(400, "beta")})
			dir := newCertsDir(t)
			path := dir.add(t, s.host, "alpha")
			tr := dir.transport(t)
			ask := func() (int, *Trail) {
				ctx, trail := WithTrail(t.Context())
				status, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, http.MethodHead, s.URL+"/v2/app/manifests/1", ""))
				if err != nil {
					t.Fatal(err)
				}
				return status, trail
			}
			if status, trail := ask(); status != http.StatusBadRequest || len(faultsOf(trail)) > 0 {
				t.Fatalf("%d: %s", status, trail)
			}
			dir.write(t, s.host+"/"+row.file, strings.ReplaceAll(row.text, "HOST", s.host))
			status, trail := ask()
			faults := faultsOf(trail)
			if len(faults) == 0 || !strings.HasPrefix(faults[0].Error(), path+row.want) {
				t.Errorf("%d, %v, want %s", status, faults, path+row.want)
			}
			if first := "-> " + path + "/" + row.file; !strings.Contains(trail.String(), first) {
				t.Errorf("lacks %q:\n%s", first, trail)
			}
		})
	}
}
