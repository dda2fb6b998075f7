package migrate

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff shows the plan: each file to be copied in a comment, without its
// content, and each hosts.toml as a unified diff. It is empty if there is
// nothing to do.
func (p *Plan) Diff() []byte {
	var b bytes.Buffer
	for _, d := range p.Directories {
		for _, c := range d.Copies {
			fmt.Fprintf(&b, "# copy %s to %s, mode %#o\n", c.From, filepath.Join(p.Output, d.Name, c.Name), c.mode())
		}
		if d.Hosts == nil {
			continue
		}
		file := filepath.Join(p.Output, d.Name, hostsTOML)
		old := file
		if d.Old == nil {
			old = "/dev/null"
		}
		text := diff.Diff(old, d.Old, file, d.Hosts)
		// The first line repeats the two that follow.
		_, text, _ = bytes.Cut(text, []byte("\n"))
		b.Write(text)
	}
	return b.Bytes()
}
