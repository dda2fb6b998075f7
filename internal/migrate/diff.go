package migrate

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
)

// Diff returns the plan as text: a comment for each file to copy, without its content,
// and a unified diff for each hosts.toml. It is empty if there is nothing to do.
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
		// The first line only repeats the next two.
		_, text, _ = bytes.Cut(text, []byte("\n"))
		b.Write(text)
	}
	return b.Bytes()
}
