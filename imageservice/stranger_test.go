package imageservice

import (
	"net/netip"
	"testing"

	"github.com/certsd/containerd-certsd/resolver"
)

// A redirect may lead into a private network, but not to what belongs to this
// machine alone.
func TestStrangers(t *testing.T) {
	c := &Config{Root: t.TempDir()}
	hosts, err := c.hosts(resolver.Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	for address, refused := range map[string]bool{
		"127.0.0.1:80": true, "169.254.169.254:80": true, "[::1]:443": true, "10.0.0.1:443": false, "192.0.2.1:443": false,
	} {
		if err := hosts.RefuseStranger("blobs.test", netip.MustParseAddrPort(address)); (err != nil) != refused {
			t.Errorf("%s: got %v, want refused %t", address, err, refused)
		}
	}
}
