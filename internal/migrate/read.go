package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// readFile reads a regular file of bounded size.
func readFile(path string) ([]byte, error) {
	data, err := plainfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return data, nil
}

// readConfig is readFile for a file of configuration.
func readConfig(path string) ([]byte, error) {
	data, err := plainfile.ReadText(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return data, nil
}

// cause returns the reason inside an error of package os: the path around it is
// known to who reports it.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// isDaemonJSON tells a daemon.json from containerd's configuration: no TOML
// document begins with a brace.
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
