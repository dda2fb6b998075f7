package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// render returns the text of a new hosts.toml in dir.
func render(h *host, dir string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# What %s said.\n", oneLine(strings.Join(h.from, ", ")))
	if h.server.address != "" {
		fmt.Fprintf(&b, "server = %s\n", tomlpos.Quote(h.server.address))
	}
	for _, line := range settings(h.server, dir) {
		b.WriteString(line + "\n")
	}
	if h.appendsRoots() {
		b.WriteString(systemRoots + "\n")
	}
	if len(h.hosts) == 0 {
		// containerd 1.7 refuses a file without this table.
		b.WriteString("\n[host]\n")
	}
	b.WriteString(hostTables(h, dir))
	return []byte(b.String())
}

// oneLine escapes line breaks in a path, which would end a comment.
func oneLine(text string) string {
	return strings.Trim(tomlpos.Quote(text), `"`)
}

// systemRoots is the line for what containerd does anyway.
const systemRoots = `system_roots = "append"`

// appendsRoots reports whether the system's CA roots apply in addition to those named,
// which is the only rule of containerd's CRI plugin.
func (h *host) appendsRoots() bool {
	for _, e := range append(slices.Clip(h.hosts), h.server) {
		if len(e.ca) > 0 && e.system {
			return true
		}
	}
	return false
}

// hostTables returns the [host."…"] tables.
func hostTables(h *host, dir string) string {
	var b strings.Builder
	for _, e := range h.hosts {
		fmt.Fprintf(&b, "\n[host.%s]\n", tomlpos.Quote(e.address))
		for _, line := range settings(e, dir) {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}

// settings returns the lines of one table.
func settings(e entry, dir string) []string {
	var lines []string
	if e.limited {
		// containerd 1.7 does not know "referrers".
		lines = append(lines, `capabilities = ["pull", "resolve"]`)
	}
	if e.override {
		lines = append(lines, "override_path = true")
	}
	return append(lines, tlsSettings(e.trust, dir)...)
}

// tlsSettings returns the lines about TLS.
func tlsSettings(t trust, dir string) []string {
	var lines []string
	if t.skipVerify {
		lines = append(lines, "skip_verify = true")
	}
	if len(t.ca) > 0 {
		refs := make([]string, len(t.ca))
		for i, f := range t.ca {
			refs[i] = tomlpos.Quote(f.ref(dir))
		}
		lines = append(lines, "ca = ["+strings.Join(refs, ", ")+"]")
	}
	if len(t.client) > 0 {
		refs := make([]string, len(t.client))
		for i, p := range t.client {
			refs[i] = "[" + tomlpos.Quote(p.cert.ref(dir)) + ", " + tomlpos.Quote(p.key.ref(dir)) + "]"
		}
		lines = append(lines, "client = ["+strings.Join(refs, ", ")+"]")
	}
	return lines
}
