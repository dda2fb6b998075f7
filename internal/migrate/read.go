package migrate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxFile is the size up to which a file is read, the same as in package
// certsd.
const maxFile = 4 << 20

// readFile is os.ReadFile for regular files of bounded size: a pipe would
// block for ever.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: is not a regular file", path)
	}
	f, err := os.Open(path) //nolint:gosec // reading the files an administrator named is the purpose
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	defer f.Close()
	data, err := readAll(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return data, nil
}

func readAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("is larger than %d MiB", maxFile>>20)
	}
	return data, err
}

// cause is the reason inside an error of package os: the path around it is
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
	return bytes.HasPrefix(bytes.TrimSpace(trimBOM(data)), []byte("{"))
}

// trimBOM leaves out the mark that some editors begin a file with.
func trimBOM(data []byte) []byte {
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
}

// configs reads the configurations of daemons.
func (p *planner) configs(files []string) error {
	var containerd []string
	for _, file := range files {
		data, err := readFile(file)
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
	cri, err := readCRI(containerd, &p.notes)
	p.cri = cri
	return err
}
