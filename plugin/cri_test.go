package plugin

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"

	_ "github.com/containerd/containerd/v2/plugins/cri/images"
)

// TestWarnsOfCRI looks at the configuration of containerd's own registration: a
// field with another name would be a warning that never comes.
func TestWarnsOfCRI(t *testing.T) {
	t.Parallel()
	stock := registered(plugins.CRIServicePlugin, "images")
	for _, alone := range []bool{false, true} {
		cri := stock
		cri.Config = copyConfig(stock.Config)
		reflect.ValueOf(cri.Config).Elem().FieldByName("UseLocalImagePull").SetBool(alone)
		var out bytes.Buffer
		ic := initContext(t, plugin.NewPluginSet(), &out)
		warnOfCRI(ic.Context, []plugin.Registration{registered(plugins.TransferPlugin, pluginID), cri})
		if got := strings.Count(out.String(), "CRI pulls by itself"); (got == 1) != alone {
			t.Errorf("CRI by itself %v: containerd's log says %q", alone, &out)
		}
	}
}
