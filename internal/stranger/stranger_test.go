package stranger

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

// TestRefuse has an address of each kind, in each of its spellings.
func TestRefuse(t *testing.T) {
	t.Parallel()
	own := map[netip.Addr]bool{netip.MustParseAddr("10.9.9.9"): true, netip.MustParseAddr("2001:db8::9"): true}
	for address, refused := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "0.0.0.0": true, "0.1.2.3": true, "::": true,
		"169.254.169.254": true, "169.254.170.2": true, "169.254.170.23": true, "fe80::1%eth0": true, "fe80::a9fe:a9fe": true,
		"224.0.0.1": true, "ff02::1": true, "255.255.255.255": true,
		"fd00:ec2::254": true, "fd00:ec2::23": true, "fd00:ec2::253": true, "fd20:ce::254": true,
		"168.63.129.16": true, "100.100.100.200": true, "fd00:c1::a9fe:a9fe": true, "192.0.0.192": true, "fd00:42::42": true, "fd00:a9fe:a9fe::1": true,
		"10.9.9.9": true, "2001:db8::9": true,

		"::ffff:127.0.0.1": true, "::ffff:169.254.169.254": true, "::ffff:10.9.9.9": true, "::ffff:100.100.100.200": true,
		"::127.0.0.1": true, "::ffff:0:127.0.0.1": true,
		"64:ff9b::127.0.0.1": true, "64:ff9b::169.254.169.254": true, "64:ff9b::10.9.9.9": true, "64:ff9b:1::168.63.129.16": true,
		"2002:7f00:1::": true, "2002:a9fe:a9fe::1": true, "2001:0:0:0:0:0:80ff:fffe": true,

		"192.0.2.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.0.1": false, "100.64.0.1": false, "2001:db8::1": false,
		"fd00::1": false, "fd12:3456::1": false, "64:ff9b::192.0.2.1": false, "2002:c000:201::": false, "::ffff:192.0.2.1": false,
	} {
		err := refuse("name.example", netip.AddrPortFrom(netip.MustParseAddr(address), 443), func(ip netip.Addr) bool { return own[ip] })
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "a registry leads to name.example, which is ") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestOwnAddresses asks for each address that this machine has.
func TestOwnAddresses(t *testing.T) {
	t.Parallel()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := Refuse("h", netip.AddrPortFrom(prefix.Addr(), 80)); err == nil {
			t.Errorf("%s is an address of this machine and not refused", prefix.Addr())
		}
	}
	if !routedHere(netip.MustParseAddr("127.0.0.1")) {
		t.Error("127.0.0.1 is not here")
	}
	if ownAddress(netip.MustParseAddr("192.0.2.1")) {
		t.Error("192.0.2.1, an address for documents, is here")
	}
}
