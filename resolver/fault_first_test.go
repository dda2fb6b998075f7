package resolver_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// What can be mended on this machine is the beginning of a pull's error, before
// what the registry says.
func TestErrorsBeginWithWhatCanBeMended(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	r.Only("nobody", http.StatusForbidden)
	root := t.TempDir()
	dir := r.Dir(t, root, "alpha")
	file := filepath.Join(dir, "beta.cert")
	if err := os.WriteFile(file, r.Clients.Client("beta").CertPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := resolver.New(resolver.Options{Hosts: newHosts(t, root)}).Resolve(t.Context(), r.Host+"/team/app:1")
	if want := r.Host + "/team/app:1: " + file + ": no matching beta.key"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
