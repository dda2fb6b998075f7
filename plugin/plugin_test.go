package plugin

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"github.com/sirupsen/logrus" //nolint:depguard // to read what containerd would log

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/resolver"
)

// fake registers a plugin that is there, or that failed.
func fake(t *testing.T, set *plugin.Set, typ plugin.Type, id string, instance any, err error) {
	t.Helper()
	r := plugin.Registration{Type: typ, ID: id, InitFn: func(*plugin.InitContext) (any, error) { return instance, err }}
	if err := set.Add(r.Init(plugin.NewContext(t.Context(), set, nil))); err != nil {
		t.Fatal(err)
	}
}

// initContext is that of a plugin which logs into the buffer.
func initContext(t *testing.T, set *plugin.Set, out io.Writer) *plugin.InitContext {
	t.Helper()
	logger := logrus.New()
	logger.SetOutput(out)
	return plugin.NewContext(log.WithLogger(t.Context(), logrus.NewEntry(logger)), set, nil)
}

func TestStaysOutBesideTheStockPlugin(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		typ plugin.Type
		id  string
	}{{plugins.TransferPlugin, "local"}, {plugins.GRPCPlugin, "transfer"}} {
		ours := registered(row.typ, pluginID)
		set := plugin.NewPluginSet()
		fake(t, set, row.typ, row.id, struct{}{}, nil)
		var out bytes.Buffer
		_, err := ours.InitFn(initContext(t, set, &out))
		if !plugin.IsSkipPlugin(err) {
			t.Errorf("%s: got %v, which would take CRI along", ours.URI(), err)
		}
		uri := row.typ.String() + "." + row.id
		if text := out.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `add \"`+uri+`\" to disabled_plugins`) {
			t.Errorf("%s: containerd's log says %q", ours.URI(), text)
		}
	}
}

func TestSaysWhatIsLostBesideTheStockService(t *testing.T) {
	t.Parallel()
	set := plugin.NewPluginSet()
	fake(t, set, plugins.TransferPlugin, pluginID, struct{}{}, nil)
	fake(t, set, plugins.GRPCPlugin, "transfer", struct{}{}, nil)
	var out bytes.Buffer
	_, err := registered(plugins.GRPCPlugin, pluginID).InitFn(initContext(t, set, &out))
	if text := out.String(); !plugin.IsSkipPlugin(err) || strings.Count(text, "\n") != 1 ||
		!strings.Contains(text, "certsd pulls, but --hosts-dir") || !strings.Contains(text, `add \"io.containerd.grpc.v1.transfer\" to disabled_plugins`) {
		t.Errorf("got %v, and containerd's log says %q", err, text)
	}
}

func TestBrokenSettingsAreNamedAtStart(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		`system_roots: "both" is neither "fallback" nor "append"`:               func(c *Config) { c.SystemRoots = "both" },
		`registry_v1: "maybe" is not one of "never", "configured" and "always"`: func(c *Config) { c.RegistryV1 = "maybe" },
		`config_path: ":" does not name a directory`:                            func(c *Config) { c.ConfigPath = ":" },
		`config_path: "certs.d" is not an absolute path`:                        func(c *Config) { c.ConfigPath = "/a:certs.d" },
		`rotate_on: "4o3": is neither`:                                          func(c *Config) { c.RotateOn = []string{"4o3"} },
	} {
		c := defaultConfig()
		change(c)
		_, broken := configure(t.Context(), *c)
		if broken == nil || !strings.HasPrefix(broken.Error(), want) {
			t.Errorf("got %v, want %s", broken, want)
			continue
		}
		set := plugin.NewPluginSet()
		fake(t, set, plugins.InternalPlugin, pluginID, nil, broken)
		_, err := registered(plugins.TransferPlugin, pluginID).InitFn(initContext(t, set, io.Discard))
		if !errors.Is(err, broken) || plugin.IsSkipPlugin(err) || !strings.Contains(err.Error(), "io.containerd.internal.v1.certsd") {
			t.Errorf("the transfer plugin says %v", err)
		}
	}
}

// TestOursNeedWhatTheStockPluginsNeed: nothing is initialized after them that
// they look for.
func TestOursNeedWhatTheStockPluginsNeed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		typ plugin.Type
		id  string
	}{{plugins.TransferPlugin, "local"}, {plugins.GRPCPlugin, "transfer"}} {
		want := append([]plugin.Type{plugins.InternalPlugin}, registered(row.typ, row.id).Requires...)
		if row.typ == plugins.GRPCPlugin {
			want = append(want, plugins.CRIServicePlugin)
		}
		if diff := cmp.Diff(want, registered(row.typ, pluginID).Requires); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.id, diff)
		}
	}
	var order []string
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		order = append(order, r.URI())
	}
	at := func(uri string) int {
		for i, u := range order {
			if u == uri {
				return i
			}
		}
		t.Errorf("%s is not registered", uri)
		return -1
	}
	if at("io.containerd.transfer.v1.local") > at("io.containerd.transfer.v1.certsd") ||
		at("io.containerd.grpc.v1.transfer") > at("io.containerd.grpc.v1.certsd") {
		t.Errorf("ours come before those they have to look for: %v", order)
	}
}

func TestSectionsOfStockAndOursAreApart(t *testing.T) {
	t.Parallel()
	type platform struct {
		Name   string   `toml:"name"`
		Layers []string `toml:"layers"`
	}
	type section struct {
		Limit     int               `toml:"limit"`
		Platforms []platform        `toml:"platforms"`
		Labels    map[string]string `toml:"labels"`
		Nested    *platform         `toml:"nested"`
	}
	make1 := func() *section {
		return &section{
			Limit: 3, Platforms: []platform{{"a", []string{"x"}}}, Labels: map[string]string{"k": "v"},
			Nested: &platform{Name: "n"},
		}
	}
	stock := make1()
	ours, ok := copyConfig(stock).(*section)
	if !ok {
		t.Fatal("the copy is of another type")
	}
	if diff := cmp.Diff(stock, ours); diff != "" {
		t.Errorf("the copy differs:\n%s", diff)
	}
	ours.Limit, ours.Platforms[0].Name, ours.Platforms[0].Layers[0] = 4, "b", "y"
	ours.Labels["k"], ours.Nested.Name = "w", "m"
	if diff := cmp.Diff(make1(), stock); diff != "" {
		t.Errorf("ours changed the stock section:\n%s", diff)
	}
	if copyConfig(nil) != nil {
		t.Error("nothing was copied to something")
	}
}

// TestExampleConfiguration loads the file that users copy, with containerd's
// own loader, and takes no unknown key in our sections.
func TestExampleConfiguration(t *testing.T) {
	t.Parallel()
	var c config.Config
	if err := config.LoadConfig(t.Context(), filepath.Join("..", "config.toml.example"), &c); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"}, c.DisabledPlugins); diff != "" {
		t.Errorf("disabled plugins (-want +got):\n%s", diff)
	}
	if err := c.ValidateVersion(); err != nil {
		t.Error(err)
	}
	for _, typ := range []plugin.Type{plugins.InternalPlugin, plugins.TransferPlugin} {
		r := registered(typ, pluginID)
		strict(t, c, r.URI(), copyConfig(r.Config))
	}
	decoded, ok := strict(t, c, plugins.InternalPlugin.String()+"."+pluginID, &Config{}).(*Config)
	if !ok {
		t.Fatal("not a *Config")
	}
	// The example shows the defaults, but as root has them.
	want := defaultConfig()
	want.ConfigPath = "/etc/containerd/certs.d:/etc/docker/certs.d"
	if diff := cmp.Diff(want, decoded); diff != "" {
		t.Errorf("the example is not the default (-want +got):\n%s", diff)
	}
	if _, err := configure(t.Context(), *decoded); err != nil {
		t.Error(err)
	}
}

// strict decodes a section; containerd itself only warns of unknown keys.
func strict(t *testing.T, c config.Config, id string, into any) any {
	t.Helper()
	section, ok := c.Plugins[id]
	if !ok {
		t.Errorf("the example has no section %s", id)
		return into
	}
	b, err := toml.Marshal(section)
	if err != nil {
		t.Fatal(err)
	}
	if err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(into); err != nil {
		t.Errorf("%s: %v", id, err)
	}
	return into
}

func TestHostsAreSharedByRootLists(t *testing.T) {
	t.Parallel()
	s, err := configure(t.Context(), *defaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	first := s.hostsFor("/a:/b")
	if s.hostsFor("/a:/b") != first || s.hostsFor("/a") == first {
		t.Error("hosts are not by list of roots")
	}
	if diff := cmp.Diff(certsd.Roots{"/a", "/b"}, first.Roots); diff != "" {
		t.Errorf("roots (-want +got):\n%s", diff)
	}
	if s.hostsFor("") != s.hostsFor(defaultConfig().ConfigPath) {
		t.Error("no list is not the configured one")
	}
	for range 3 * maxRootLists {
		s.hostsFor(t.TempDir())
	}
	if len(s.hosts) > maxRootLists {
		t.Errorf("%d lists of roots are kept", len(s.hosts))
	}
	if s.hostsFor("/a:/b") != first {
		t.Error("many lists of clients have driven out one in use")
	}
	if first.SystemRoots != "fallback" || first.RegistryV1 != resolver.V1Configured || first.NoSchema1 || first.Hooks.OnUse == nil {
		t.Errorf("settings are lost: %+v", first.SystemRoots)
	}
}
