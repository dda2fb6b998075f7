package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// readFile reads a regular file of limited size.
func readFile(path string) ([]byte, error) {
	data, err := plainfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return data, nil
}

// readConfig reads a configuration file as text.
func readConfig(path string) ([]byte, error) {
	data, err := plainfile.ReadText(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return data, nil
}

// cause returns the error inside an fs.PathError: the caller reports the path.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// isDaemonJSON reports whether data is a daemon.json, not containerd's configuration:
// no TOML document begins with a brace.
func isDaemonJSON(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte("{"))
}

// configs reads the configurations of daemons.
func (p *reader) configs(files []string) error {
	var containerd []string
	for _, file := range files {
		data, err := readConfig(file)
		if err != nil {
			return err
		}
		if !isDaemonJSON(data) {
			containerd = append(containerd, file)
			continue
		}
		d, err := parseDaemon(file, data, &p.notes)
		if err != nil {
			return err
		}
		p.daemon = p.daemon.under(d)
	}
	cri, err := readCRI(containerd, p.output, &p.notes)
	p.cri = cri
	return err
}
