package gateway

import (
	"fmt"
	"net/netip"
)

// metadata are the addresses of cloud providers' metadata services that are
// neither link-local nor loopback: Alibaba's, Azure's and that of AWS in IPv6.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"),
	netip.MustParseAddr("168.63.129.16"),
	netip.MustParseAddr("fd00:ec2::254"),
}

// refuseStranger keeps a registry from leading the gateway, by a redirect or
// the name of a token server, to what only this machine can reach. It is about
// addresses, so a name that points there is no way around.
func refuseStranger(host string, addr netip.AddrPort) error {
	ip := addr.Addr().Unmap().WithZone("")
	refused := ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast()
	for _, m := range metadata {
		refused = refused || ip == m
	}
	if !refused {
		return nil
	}
	return fmt.Errorf("a registry leads to %s, which is %s: the gateway goes there only if a certs.d directory is named after it", host, ip)
}
