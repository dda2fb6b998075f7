package takeover

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// stock are the plugins that certsd replaces.
var stock = []string{"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"}

const (
	settings = `[plugins."io.containerd.internal.v1.certsd"]`
	section  = "\n" + settings + "\n  config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"
)

// configuration is the part of a configuration that is examined.
type configuration struct {
	Version         int                       `toml:"version"`
	DisabledPlugins []string                  `toml:"disabled_plugins"`
	Plugins         map[string]map[string]any `toml:"plugins"`
}

// enabled returns a configuration, which may be nil, with the settings that the plugin
// needs. It only adds lines.
func enabled(old []byte) ([]byte, error) {
	if old == nil {
		old = []byte("version = 3\n")
	}
	var c configuration
	if err := toml.Unmarshal(old, &c); err != nil {
		return nil, fmt.Errorf("is not valid TOML: %w", err)
	}
	text := string(old)
	var missing []string
	for _, name := range stock {
		if !slices.Contains(c.DisabledPlugins, name) {
			missing = append(missing, `"`+name+`"`)
		}
	}
	if len(missing) > 0 {
		text = disable(text, strings.Join(missing, ", "))
	}
	if _, found := c.Plugins["io.containerd.internal.v1.certsd"]; !found {
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += section
	}
	c = configuration{}
	if err := toml.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("cannot be added to: put %s and %s into it yourself: %w", strings.Join(stock, " and "), settings, err)
	}
	for _, name := range stock {
		if !slices.Contains(c.DisabledPlugins, name) {
			return nil, errors.New("cannot be added to: put " + name + " into disabled_plugins yourself")
		}
	}
	return []byte(text), nil
}

// disable adds names to the list of disabled plugins, which may be missing.
func disable(text, names string) string {
	if at := tomlpos.ValueOf([]byte(text), "disabled_plugins"); at >= 0 {
		open := at + strings.IndexByte(text[at:], '[') + 1
		if rest := strings.TrimLeft(text[open:], " \t\r\n"); !strings.HasPrefix(rest, "]") {
			names += ", "
		}
		return text[:open] + names + text[open:]
	}
	line := "disabled_plugins = [" + names + "]\n"
	if at := tomlpos.ValueOf([]byte(text), "version"); at >= 0 {
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			return text + "\n" + line
		}
		return text[:at+end+1] + line + text[at+end+1:]
	}
	return line + text
}

// disabled removes what enabled added from a configuration that has changed since.
func disabled(now []byte) []byte {
	text := strings.Replace(string(now), section, "", 1)
	at := tomlpos.ValueOf([]byte(text), "disabled_plugins")
	if at < 0 {
		return []byte(text)
	}
	list := text[at:]
	for _, name := range stock {
		quoted := `"` + name + `"`
		before, after, found := strings.Cut(list, quoted)
		if !found {
			continue
		}
		list = before + strings.TrimPrefix(strings.TrimPrefix(after, ","), " ")
	}
	text = text[:at] + list
	return []byte(strings.Replace(text, "disabled_plugins = []\n", "", 1))
}
