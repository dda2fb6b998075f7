package plugin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// TestConfigInTOML reads and writes the section as containerd does: all keys are
// in it, none in a table below.
func TestConfigInTOML(t *testing.T) {
	t.Parallel()
	text, err := toml.Marshal(defaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "[resolver") || strings.Contains(string(text), "Settings") || !strings.Contains(string(text), "\nregistry_v1 = ") {
		t.Errorf("written as\n%s", text)
	}
	var c Config
	if err := toml.NewDecoder(strings.NewReader(string(text))).DisallowUnknownFields().Decode(&c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*defaultConfig(), c); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}
