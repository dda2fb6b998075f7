// Package plugin makes containerd use certs.d directories the way Docker's
// manual describes them: import it for its side effects, along with containerd's
// own plugins.
//
//	import (
//		_ "github.com/containerd/containerd/v2/cmd/containerd/builtins"
//		_ "github.com/certsd/containerd-certsd/plugin"
//	)
//
// It registers three plugins:
//
//   - io.containerd.transfer.v1.certsd is containerd's own "local" transfer
//     plugin with its registry source and target replaced by ours. It accepts
//     every configuration key of "local".
//   - io.containerd.grpc.v1.certsd is containerd's own transfer service, which
//     also passes on what a client asked for: its hosts directory, its
//     default scheme and its debug output.
//   - io.containerd.internal.v1.certsd holds the settings: see [Config].
//
// "local" and the stock transfer service have to be disabled:
//
//	disabled_plugins = ["io.containerd.transfer.v1.local", "io.containerd.grpc.v1.transfer"]
//
// CRI accepts one transfer plugin only, and one gRPC server one transfer
// service. Where the stock ones are still enabled, ours say so and stay out.
//
// Read plugin.go first, which registers them, and settings.go, what they share.
// Then a transfer: service.go receives it from a gRPC client, transfer.go
// replaces the registries in it, request.go finds out what was asked for (with the
// streams of stream.go), and source.go answers, with downloads.go and progress.go.
package plugin

import (
	"fmt"
	"reflect"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	// These packages make the registrations that are decorated.
	_ "github.com/containerd/containerd/v2/plugins/services/transfer"
	_ "github.com/containerd/containerd/v2/plugins/transfer"
)

// pluginID is the id of the three plugins within their types.
const pluginID = "certsd"

func init() {
	registry.Register(&plugin.Registration{
		Type:   plugins.InternalPlugin,
		ID:     pluginID,
		Config: defaultConfig(),
		InitFn: newSettings,
	})
	registry.Register(decorate(plugins.TransferPlugin, "local", newTransferrer))
	service := decorate(plugins.GRPCPlugin, "transfer", newService)
	// Whether CRI uses us is known only after it has started: see warnOfCRI.
	service.Requires = append(service.Requires, plugins.CRIServicePlugin)
	registry.Register(service)
}

// wrapper turns the instance of a stock plugin into ours.
type wrapper func(ic *plugin.InitContext, s *settings, stock any) (any, error)

// decorate copies the registration of a stock plugin, so that its requirements and
// configuration keys remain containerd's, and wraps the instance it creates.
func decorate(t plugin.Type, id string, wrap wrapper) *plugin.Registration {
	r := registered(t, id)
	stock := r.InitFn
	uri := r.URI()
	r.ID = pluginID
	r.Config = copyConfig(r.Config)
	r.Requires = append([]plugin.Type{plugins.InternalPlugin}, r.Requires...)
	r.InitFn = func(ic *plugin.InitContext) (any, error) {
		if ic.Plugins().Get(t, id) != nil {
			// Skipped, not failed: a lookup of a type's only plugin returns the error
			// of any that failed, so CRI would not load.
			if _, err := ic.GetByID(plugins.TransferPlugin, pluginID); err == nil {
				log.G(ic.Context).Warnf("certsd pulls, but --hosts-dir, --plain-http, --http-dump and --http-trace of clients are lost, because %s is enabled: add %q to disabled_plugins in containerd's configuration", uri, uri)
				return nil, plugin.ErrSkipPlugin
			}
			log.G(ic.Context).Warnf("certsd stays out because %s is enabled: add %q to disabled_plugins in containerd's configuration", uri, uri)
			return nil, plugin.ErrSkipPlugin
		}
		i, err := ic.GetByID(plugins.InternalPlugin, pluginID)
		if err != nil {
			return nil, fmt.Errorf("certsd settings in [plugins.%q]: %w", plugins.InternalPlugin.String()+"."+pluginID, err)
		}
		s, ok := i.(*settings)
		if !ok {
			return nil, fmt.Errorf("%s.%s is a %T", plugins.InternalPlugin, pluginID, i)
		}
		instance, err := stock(ic)
		if err != nil {
			return nil, err
		}
		return wrap(ic, s, instance)
	}
	return &r
}

// registered returns a registration. A missing one is a bug: the package that makes
// it is imported above.
func registered(t plugin.Type, id string) plugin.Registration {
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	for _, r := range all {
		if r.Type == t && r.ID == id {
			return r
		}
	}
	panic(fmt.Sprintf("containerd no longer registers %s.%s", t, id))
}

// copyConfig copies a configuration deeply, so that the two registrations do not
// decode their sections into the same value or array.
func copyConfig(config any) any {
	if config == nil {
		return nil
	}
	fresh := reflect.New(reflect.TypeOf(config).Elem())
	fresh.Elem().Set(deepCopy(reflect.ValueOf(config).Elem()))
	return fresh.Interface()
}

func deepCopy(v reflect.Value) reflect.Value {
	fresh := reflect.New(v.Type()).Elem()
	fresh.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if fresh.Field(i).CanSet() {
				fresh.Field(i).Set(deepCopy(v.Field(i)))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		fresh.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			fresh.Index(i).Set(deepCopy(v.Index(i)))
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		fresh.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for k, e := range v.Seq2() {
			fresh.SetMapIndex(k, deepCopy(e))
		}
	case reflect.Pointer:
		if v.IsNil() {
			break
		}
		fresh.Set(reflect.New(v.Type().Elem()))
		fresh.Elem().Set(deepCopy(v.Elem()))
	}
	return fresh
}
