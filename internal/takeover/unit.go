package takeover

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unitDirs are where systemd looks for units, highest priority first.
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}

const unitName = "containerd.service"

// defaultPath is systemd's default PATH for services.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// unit is the effective part of containerd's unit without our drop-in.
type unit struct {
	start, path string
	// later is a drop-in that would override ours.
	later string
}

// unit reads containerd's unit and its drop-ins.
func (o Options) unit() (*unit, error) {
	u := &unit{path: defaultPath}
	var main string
	dropIns := map[string]string{}
	for _, dir := range slices.Backward(unitDirs) {
		if _, err := os.Stat(o.at(filepath.Join(dir, unitName))); err == nil {
			main = filepath.Join(dir, unitName)
		}
		files, err := os.ReadDir(o.at(filepath.Join(dir, unitName+".d")))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), ".conf") {
				dropIns[f.Name()] = filepath.Join(dir, unitName+".d", f.Name())
			}
		}
	}
	if main == "" {
		return nil, fmt.Errorf("there is no %s in %s: this machine does not start containerd with systemd", unitName, strings.Join(unitDirs, ", "))
	}
	delete(dropIns, filepath.Base(dropIn))
	files := []string{main}
	for _, name := range slices.Sorted(maps.Keys(dropIns)) {
		files = append(files, dropIns[name])
	}
	for _, file := range files {
		data, err := os.ReadFile(o.at(file))
		if err != nil {
			return nil, err
		}
		if u.take(string(data)) && file != main && filepath.Base(file) > filepath.Base(dropIn) {
			u.later = file
		}
	}
	if u.start == "" {
		return nil, fmt.Errorf("%s has no ExecStart", main)
	}
	return u, nil
}

// take applies one file, and reports whether it sets ExecStart.
func (u *unit) take(text string) (starts bool) {
	section := ""
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = line
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case section != "[Service]":
		case key == "ExecStart":
			u.start, starts = value, true
		case key == "Environment" && value == "":
			u.path = defaultPath
		case key == "Environment":
			if _, path, found := strings.Cut(strings.ReplaceAll(value, `"`, " ")+" ", "PATH="); found && !strings.HasSuffix(value[:strings.Index(value, "PATH=")], "_") {
				u.path, _, _ = strings.Cut(path, " ")
			}
		}
	}
	return starts
}

// arguments returns containerd's arguments in the unit.
func (u *unit) arguments() string {
	_, arguments, _ := strings.Cut(u.start, " ")
	return strings.TrimSpace(arguments)
}

// config returns the path of the configuration that the unit makes containerd read.
func (u *unit) config() string {
	words := strings.Fields(strings.ReplaceAll(u.arguments(), "=", " "))
	for i, word := range words {
		if (word == "--config" || word == "-config" || word == "-c") && i+1 < len(words) {
			return strings.Trim(words[i+1], `"'`)
		}
	}
	return standard
}

const ours = "# Written by certsd plugin enable; certsd plugin disable takes it away.\n"

func isOurs(data []byte) bool { return bytes.HasPrefix(data, []byte(ours)) }

// dropIn returns a drop-in that starts a line's containerd with the unit's arguments,
// and puts its shim and other programs first in PATH.
func (u *unit) dropIn(line string) string {
	dir := filepath.Dir(Program(line))
	return fmt.Sprintf("%s[Service]\nExecStart=\nExecStart=%s\nEnvironment=\"PATH=%s:%s\"\n",
		ours, strings.TrimSpace(Program(line)+" "+u.arguments()), dir, u.path)
}
