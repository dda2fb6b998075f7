package layout

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// module is the path of this module.
const module = "github.com/certsd/containerd-certsd/"

// imports are the packages of this module that each of them imports. certsd and
// v1compat know nothing of each other, resolver joins them, plugin, gateway
// and imageservice are ways to offer it and know nothing of each other either.
var imports = map[string][]string{
	"certsd": {
		"certsd/hostdir", "certsd/hostname", "certsd/hoststoml", "certsd/trail", "internal/beginning",
		"internal/handshake", "internal/reqctx", "internal/safetext", "internal/serverfault", "internal/supply",
	},
	"v1compat":        {"internal/bounded", "internal/jsonwords", "internal/safetext", "internal/weblink"},
	"v1compat/v1test": nil,
	"resolver": {
		"certsd", "certsd/hostdir", "certsd/hostname", "certsd/hoststoml", "certsd/trail", "internal/bounded",
		"internal/discreet", "internal/jsonwords", "internal/manifest", "internal/reqctx", "internal/safetext",
		"internal/serverfault", "internal/v1policy", "internal/weblink", "keys", "v1compat",
	},
	"plugin": {
		"certsd", "certsd/hostdir", "certsd/hostname", "internal/blobs", "internal/dockerconfig", "internal/status",
		"internal/statusrpc", "internal/telemetry", "resolver", "v1compat",
	},
	"gateway": {
		"certsd", "certsd/hostdir", "certsd/hostname", "internal/bloblabels", "internal/bounded", "internal/daemon",
		"internal/dockerconfig", "internal/plainfile", "internal/safepath", "internal/safetext", "internal/settings",
		"internal/status", "internal/statuspage", "internal/stranger", "internal/telemetry", "internal/wholefile",
		"resolver",
	},
	"imageservice": {
		"certsd", "certsd/hostname", "internal/configfiles", "internal/daemon", "internal/dockerconfig",
		"internal/jsonwords", "internal/manifest", "internal/safepath", "internal/settings", "internal/status",
		"internal/statuspage", "internal/statusrpc", "internal/stranger", "internal/telemetry", "internal/tomlpos",
		"internal/wholefile", "resolver", "v1compat",
	},

	"cmd/certsd": {
		"certsd", "certsd/hostdir", "gateway", "imageservice", "internal/certtest", "internal/check", "internal/clidoc",
		"internal/daemon", "internal/daemons", "internal/dockerconfig", "internal/gatewayconfig", "internal/imagecopy",
		"internal/imageref", "internal/migrate", "internal/ocilayout", "internal/paragraph", "internal/plainfile",
		"internal/progress", "internal/pull", "internal/quiet", "internal/safetext", "internal/settings",
		"internal/status", "internal/takeover", "internal/telemetry", "internal/wholefile", "keys", "packaging/systemd",
		"resolver", "v1compat",
	},

	"certsd/hostdir": {
		"certsd/hostname", "certsd/hoststoml", "internal/nextstep", "internal/pemfile", "internal/plainfile",
		"internal/safetext", "internal/verify",
	},
	"certsd/hostname":     nil,
	"certsd/hoststoml":    {"certsd/hostname", "internal/plainfile", "internal/spelling", "internal/tomlpos"},
	"certsd/trail":        {"certsd/hostdir", "internal/handshake", "internal/safetext"},
	"docs":                nil,
	"integration":         nil,
	"internal/beginning":  nil,
	"internal/benchplot":  {"internal/safetext"},
	"internal/benchtest":  nil,
	"internal/bloblabels": nil,
	"internal/blobs":      nil,
	"internal/bounded":    {"internal/beginning"},
	"internal/bytesize":   nil,
	"internal/certtest":   nil,
	"internal/check": {
		"certsd", "certsd/hostdir", "certsd/hostname", "certsd/hoststoml", "internal/choice", "internal/configfiles",
		"internal/discreet", "internal/dockerconfig", "internal/handshake", "internal/imageref", "internal/manifest",
		"internal/migrate", "internal/nextstep", "internal/paragraph", "internal/plainfile", "internal/safetext",
		"internal/serverfault", "internal/status", "internal/tomlpos", "internal/v1policy", "keys", "resolver", "v1compat",
	},
	"internal/checkedstore":  nil,
	"internal/choice":        {"internal/jsonwords", "internal/manifest"},
	"internal/citest":        nil,
	"internal/clidoc":        nil,
	"internal/configfiles":   nil,
	"internal/daemon":        {"internal/safepath"},
	"internal/daemons":       {"gateway", "internal/safetext", "internal/status", "internal/statusrpc"},
	"internal/discreet":      {"internal/safetext"},
	"internal/dockerconfig":  {"certsd/hostname", "internal/plainfile", "internal/safetext"},
	"internal/gatewayconfig": {"certsd/hostname", "internal/safepath", "internal/wholefile"},
	"internal/handshake":     nil,
	"internal/imagecopy": {
		"certsd/hostname", "internal/bloblabels", "internal/checkedstore", "internal/jsonwords", "internal/safepath",
		"resolver", "v1compat",
	},
	"internal/imageref":  {"certsd/hostname"},
	"internal/jsonwords": nil,
	"internal/keytest":   {"certsd", "internal/certtest"},
	"internal/layout":    nil,
	"internal/manifest":  {"internal/jsonwords"},
	"internal/migrate": {
		"certsd", "certsd/hostdir", "certsd/hostname", "internal/configfiles", "internal/jsonwords", "internal/pemfile",
		"internal/plainfile", "internal/safepath", "internal/safetext", "internal/tomlpos", "internal/wholefile", "keys",
	},
	"internal/nextstep": nil,
	"internal/ocilayout": {
		"internal/bloblabels", "internal/bytesize", "internal/checkedstore", "internal/jsonwords", "internal/safepath",
		"internal/wholefile",
	},
	"internal/paragraph": nil,
	"internal/pemfile":   {"internal/nextstep", "internal/plainfile"},
	"internal/picture":   {"internal/safetext"},
	"internal/plainfile": {"internal/bytesize"},
	"internal/progress":  {"internal/safetext"},
	"internal/pull": {
		"internal/blobs", "internal/choice", "internal/imageref", "internal/jsonwords", "internal/manifest",
		"internal/ocilayout", "internal/progress", "resolver", "v1compat",
	},
	"internal/quiet":        nil,
	"internal/registrytest": nil,
	"internal/reqctx":       {"certsd/hostdir", "certsd/hostname"},
	"internal/safepath":     {"internal/wholefile"},
	"internal/safetext":     nil,
	"internal/serverfault":  {"certsd/hostdir", "internal/safetext"},
	"internal/settings":     {"internal/plainfile", "internal/spelling", "internal/tomlpos"},
	"internal/spelling":     nil,
	"internal/status": {
		"certsd", "certsd/hostdir", "internal/bytesize", "internal/paragraph", "internal/safetext", "resolver", "v1compat",
	},
	"internal/statuspage": {"certsd/hostdir", "internal/bytesize", "internal/safetext", "internal/status"},
	"internal/statusrpc":  {"internal/status"},
	"internal/stranger":   nil,
	"internal/supply":     nil,
	"internal/takeover":   {"internal/tomlpos", "internal/wholefile"},
	"internal/telemetry":  {"certsd", "certsd/hostdir", "internal/safetext", "internal/status", "resolver", "v1compat"},
	"internal/tomlpos":    {"internal/safetext"},
	"internal/tpmtest":    {"internal/citest"},
	"internal/v1policy":   {"certsd/hostdir", "certsd/hoststoml"},
	"internal/verify":     nil,
	"internal/weblink":    nil,
	"internal/wholefile":  nil,
	"keys":                {"certsd/hostdir", "keys/pkcs11uri", "keys/signer", "keys/tpmkey"},
	"keys/pkcs11uri":      nil,
	"keys/signer":         {"internal/plainfile", "internal/safetext", "internal/verify", "keys/pkcs11uri"},
	"keys/tpmkey":         {"internal/nextstep", "internal/verify"},
	"packaging":           nil,
	"packaging/ociimage":  {"internal/wholefile"},
	"packaging/systemd":   nil,
}

// TestImports holds the direction of dependency within the module.
func TestImports(t *testing.T) {
	t.Parallel()
	found := map[string][]string{}
	for _, p := range list(t, "./...") {
		if len(p.GoFiles) == 0 {
			continue
		}
		var own []string
		for _, path := range p.Imports {
			if name, ours := strings.CutPrefix(path, module); ours {
				own = append(own, name)
			}
		}
		slices.Sort(own)
		found[strings.TrimPrefix(p.ImportPath, module)] = own
	}
	if diff := cmp.Diff(imports, found); diff != "" {
		t.Errorf("what packages import (-said here +found):\n%s", diff)
	}
}
