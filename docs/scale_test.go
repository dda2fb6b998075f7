package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/google/go-cmp/cmp"
)

// What the table of scale.md assumes.
const (
	nodes     = 1000
	layers    = 5
	layerMiB  = 100
	configMiB = 0.01
	// How fast one layer reaches one node, in MiB/s: the link of a node or its
	// share of that of the gateway, whichever is less, is not worth more detail.
	layerRate = 20
	// requestsOfAPull: HEAD and GET for the manifest, the configuration, layers.
	requestsOfAPull = 2 + 1 + layers
)

// load is what reaches the upstream.
type load struct {
	requests int
	mib      float64
}

// pulls adds up n pulls of which each reaches the upstream in full.
func pulls(n int) load {
	return load{n * requestsOfAPull, float64(n) * (layers*layerMiB + configMiB)}
}

// shared adds up the pulls through gateways that take turns with the nodes,
// whose starts are spread evenly over so many seconds. A gateway asks once for a
// layer as long as somebody is reading it. So where one of its nodes begins before
// the one before it has a layer, a layer is asked for once by each gateway, from
// the first node to the last; else each node has every layer asked for again.
// Manifests and configurations are always passed on.
func shared(gateways, seconds int) load {
	apart := float64(seconds) / nodes * float64(gateways)
	if apart >= layerMiB/layerRate {
		return pulls(nodes)
	}
	return load{nodes*3 + gateways*layers, nodes*configMiB + float64(gateways*layers*layerMiB)}
}

// TestScale computes the table of scale.md.
func TestScale(t *testing.T) {
	t.Parallel()
	// A tag is looked up for each node, the rest is fetched once: a HEAD and a GET
	// for the manifest and for each blob.
	cached := load{nodes + 2 + 2*(1+layers), layers*layerMiB + configMiB}
	text := read(t, "scale.md")
	for _, row := range []struct {
		how  string
		load load
	}{
		{"the plugin, or a gateway, on each node", pulls(nodes)},
		{"a shared pair of gateways, all nodes within a minute", shared(2, 60)},
		{"a shared pair of gateways, spread over half an hour", shared(2, 1800)},
		{"a shared pair of gateways, spread over an hour", shared(2, 3600)},
		{"a pull-through registry in front of a gateway", cached},
		{"copied into a registry of the cluster", pulls(1)},
	} {
		line := fmt.Sprintf("| %s | %s | %s |", row.how, thousands(row.load.requests), size(row.load.mib))
		if !strings.Contains(text, line+"\n") {
			t.Errorf("scale.md lacks\n%s", line)
		}
	}
}

// TestOnlyTheGatewayGetsTheSecret reads the hosts.toml files of scale.md with
// stock containerd's code.
func TestOnlyTheGatewayGetsTheSecret(t *testing.T) {
	t.Parallel()
	found := 0
	for _, block := range blocks(read(t, "scale.md")) {
		if !strings.HasPrefix(block, "server = ") || !strings.Contains(block, "30020") {
			continue
		}
		found++
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(block), 0o600); err != nil {
			t.Fatal(err)
		}
		hosts, err := config.ConfigureHosts(t.Context(), config.HostOptions{
			HostDir: func(string) (string, error) { return dir, nil },
		})("registry.example")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, h := range hosts {
			got[h.Host] = h.Header.Get("X-Certsd-Token")
		}
		if diff := cmp.Diff(map[string]string{"127.0.0.1:30020": "", "127.0.0.1:5999": "..."}, got); diff != "" {
			t.Errorf("the secret by endpoint (-want +got):\n%s", diff)
		}
	}
	if found == 0 {
		t.Error("scale.md shows no hosts.toml with Spegel")
	}
}

func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func size(mib float64) string {
	if mib < 10*1024 {
		return fmt.Sprintf("%.1f GiB", mib/1024)
	}
	return fmt.Sprintf("%.0f GiB", mib/1024)
}
