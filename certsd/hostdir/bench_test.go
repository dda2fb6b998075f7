package hostdir

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkLookupSuffix measures the lookup of a host that a directory for its
// domain serves, four names above it, among ten thousand other host directories.
func BenchmarkLookupSuffix(b *testing.B) {
	root := b.TempDir()
	for i := range 10_000 {
		write(b, root, fmt.Sprintf("host%05d.example_5000_/", i), nil)
	}
	write(b, root, "_.example.com_5000_/ca.crt", testCA.PEM)
	for _, name := range []string{"alpha", "beta", "gamma"} {
		write(b, root, "_.example.com_5000_/"+name+".cert", alphaPair.CertPEM, "_.example.com_5000_/"+name+".key", alphaPair.KeyPEM)
	}
	h, _, reads := counted(root, b.TempDir())
	h.disk.stat, h.SuffixDirectories = nil, true
	host, err := h.Lookup("a.b.c.d.example.com:5000")
	if err != nil || !host.Fallback || len(host.Endpoints[0].Identities) != 3 {
		b.Fatal(host, err)
	}
	*reads = 0
	b.ReportAllocs()
	for b.Loop() {
		if again, err := h.Lookup("a.b.c.d.example.com:5000"); again != host || err != nil {
			b.Fatal(again, err)
		}
	}
	if *reads != 0 {
		b.Fatalf("%d reads", *reads)
	}
}

// BenchmarkLookup measures the lookup of a host that did not change: one with
// a CA and three pairs, alone and among ten thousand other host directories.
func BenchmarkLookup(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("beside=%d", others), func(b *testing.B) {
			root := b.TempDir()
			for i := range others {
				write(b, root, fmt.Sprintf("host%05d.example_5000_/", i), nil)
			}
			for _, dir := range []string{"reg_5000_", "reg2_5000_"} {
				write(b, root, dir+"/ca.crt", testCA.PEM)
				for _, name := range []string{"alpha", "beta", "gamma"} {
					write(b, root, filepath.Join(dir, name+".cert"), alphaPair.CertPEM, filepath.Join(dir, name+".key"), alphaPair.KeyPEM)
				}
			}
			h, _, reads := counted(root, b.TempDir())
			h.disk.stat = nil // counted, they take longer
			for i := range others {
				if _, err := h.Lookup(fmt.Sprintf("host%05d.example:5000", i)); err != nil {
					b.Fatal(err)
				}
			}
			host, err := h.Lookup("reg:5000")
			if err != nil {
				b.Fatal(err)
			}
			*reads = 0
			b.ReportAllocs()
			for b.Loop() {
				if again, err := h.Lookup("reg:5000"); again != host || err != nil {
					b.Fatal(again, err)
				}
			}
			if *reads != 0 {
				b.Fatalf("%d reads", *reads)
			}
		})
	}
}
