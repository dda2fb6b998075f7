// Package stranger refuses addresses that a registry must not lead a daemon to, because
// the daemon works for others: those that only this machine can reach, or that trust
// every connection from this machine.
package stranger

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// kind is a range of addresses and its meaning.
type kind struct {
	prefix netip.Prefix
	what   string
}

// kinds are the refused addresses that have the same meaning on every machine. Private
// networks are not included: registries and their storage are there.
var kinds = []kind{
	{netip.MustParsePrefix("127.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("::1/128"), "this machine"},
	{netip.MustParsePrefix("0.0.0.0/8"), "this machine"},
	{netip.MustParsePrefix("::/128"), "this machine"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where metadata services are"},
	{netip.MustParsePrefix("fe80::/10"), "link-local, where metadata services are"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
	// Metadata and credential services of clouds that are not link-local.
	{netip.MustParsePrefix("fd00:ec2::/32"), "a service of AWS for its machines"},
	{netip.MustParsePrefix("fd20:ce::254/128"), "the metadata service of Google Cloud"},
	{netip.MustParsePrefix("168.63.129.16/32"), "the host of an Azure machine"},
	{netip.MustParsePrefix("100.100.100.200/32"), "the metadata service of Alibaba Cloud"},
	{netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), "the metadata service of Oracle Cloud"},
	{netip.MustParsePrefix("192.0.0.192/32"), "the metadata service of Oracle Cloud"},
	{netip.MustParsePrefix("fd00:42::42/128"), "the metadata service of Scaleway"},
	{netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"), "the metadata service of Akamai"},
}

// embeddings are the ranges of IPv6 addresses that contain an IPv4 address, and its
// position in them.
var embeddings = []struct {
	prefix netip.Prefix
	at     int
	invert bool
}{
	{prefix: netip.MustParsePrefix("::/96"), at: 12},           // "compatible"
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), at: 12}, // SIIT
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), at: 12},    // NAT64
	{prefix: netip.MustParsePrefix("64:ff9b:1::/48"), at: 12},
	{prefix: netip.MustParsePrefix("2002::/16"), at: 2},                // 6to4
	{prefix: netip.MustParsePrefix("2001::/32"), at: 12, invert: true}, // Teredo
}

// Refuse returns an error if a daemon must not connect to an address of a host that
// only a server named, whatever the host's name. Call it after resolving names.
func Refuse(host string, addr netip.AddrPort) error { return refuse(host, addr, ownAddress) }

func refuse(host string, addr netip.AddrPort, own func(netip.Addr) bool) error {
	for _, ip := range standsFor(addr.Addr().Unmap().WithZone("")) {
		what := kindOf(ip)
		if what == "" && own(ip) {
			what = "this machine"
		}
		if what != "" {
			return fmt.Errorf("a registry leads to %s, which is %s (%s): the gateway goes there only if a certs.d directory is named after it", host, addr.Addr(), what)
		}
	}
	return nil
}

// standsFor returns an address and the IPv4 addresses that it contains.
func standsFor(ip netip.Addr) []netip.Addr {
	all := []netip.Addr{ip}
	if ip.Is4() {
		return all
	}
	b := ip.As16()
	for _, e := range embeddings {
		if !e.prefix.Contains(ip) {
			continue
		}
		v4 := [4]byte(b[e.at : e.at+4])
		if e.invert {
			for i := range v4 {
				v4[i] = ^v4[i]
			}
		}
		all = append(all, netip.AddrFrom4(v4))
	}
	return all
}

func kindOf(ip netip.Addr) string {
	for _, k := range kinds {
		if k.prefix.Contains(ip) {
			return k.what
		}
	}
	return ""
}

// ownAddress reports whether an address belongs to an interface of this machine, or is
// routed to it otherwise.
func ownAddress(ip netip.Addr) bool {
	// Without the list, as where netlink sockets are forbidden, rely on the route.
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap().WithZone("") == ip {
			return true
		}
	}
	return routedHere(ip)
}

// routedHere asks the system which local address it would use to reach ip: if it is ip
// itself, that is this machine. Nothing is sent.
func routedHere(ip netip.Addr) bool {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "udp", netip.AddrPortFrom(ip, 9).String())
	if err != nil {
		return false
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return err == nil && local.Addr().Unmap().WithZone("") == ip
}
