package telemetry

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/certtest"
)

// manyHosts makes directories with pairs.
func manyHosts(tb testing.TB, hosts, pairs int) (roots certsd.Roots, names []string) {
	tb.Helper()
	root := tb.TempDir()
	names, err := certtest.WriteMany(root, hosts, pairs)
	if err != nil {
		tb.Fatal(err)
	}
	return certsd.Roots{root}, names
}

// collect is what a collector shows at one look.
func collect(c prometheus.Collector) (all []prometheus.Metric) {
	ch := make(chan prometheus.Metric)
	go func() {
		defer close(ch)
		c.Collect(ch)
	}()
	for m := range ch {
		all = append(all, m)
	}
	return all
}

// TestALookAtTheMetricsCostsNoLookUpForEachSeries: of very many hosts a hundred are
// looked up, each once, and the series of those whose files are the same are the ones
// of the last look.
func TestALookAtTheMetricsCostsNoLookUpForEachSeries(t *testing.T) {
	t.Parallel()
	const pairs = 4
	roots, names := manyHosts(t, 2*maxLooks+50, pairs)
	e := newExpiries()
	hosts := &certsd.Hosts{Roots: roots}
	for _, name := range names {
		host, err := hosts.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		e.use(host)
	}
	before := collect(e)
	if len(before) != len(names)*pairs {
		t.Fatalf("%d series", len(before))
	}
	lookedUp := func() (n int) {
		for _, k := range e.hosts {
			if !k.looked.IsZero() {
				n++
			}
		}
		return n
	}
	if n := lookedUp(); n != maxLooks {
		t.Errorf("%d hosts were looked up, and not %d", n, maxLooks)
	}
	for range 5 {
		after := collect(e)
		for i := range after {
			if after[i] != before[i] {
				t.Fatalf("the series %v was made anew though nothing has changed", after[i].Desc())
			}
		}
	}
	if n := lookedUp(); n != len(names) {
		t.Errorf("it was the turn of %d hosts, and not of %d", n, len(names))
	}
	// A pair that is replaced, one that goes: nothing is left of what was.
	dir := filepath.Join(roots[0], names[0])
	if err := clients.Issue(certtest.Request{CommonName: "x", NotAfter: time.Now().Add(time.Minute)}).Write(dir, "client0"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(roots[0], names[1])); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		collect(e)
	}
	after := collect(e)
	if len(after) != (len(names)-1)*pairs || after[0] == before[0] || after[1] != before[1] {
		t.Errorf("%d series, the first made anew: %v, the next one: %v", len(after), after[0] != before[0], after[1] != before[1])
	}
	if shown, order, hosts := len(e.shown.shown), len(e.shown.order), len(e.of); shown != len(after) || order != len(after) || hosts != len(names)-1 {
		t.Errorf("%d series, %d in order, %d hosts are kept", shown, order, hosts)
	}
}

// TestSeriesDoNotGrow: those of what is no more are forgotten.
func TestSeriesDoNotGrow(t *testing.T) {
	t.Parallel()
	g := newGauges(prometheus.NewDesc("some", "x", []string{"host", "identity"}, nil))
	for i := range 50 {
		at := map[labelled]time.Time{}
		for j := range 10 {
			at[labelled{fmt.Sprintf("host%d.test", i), fmt.Sprintf("%d.cert", j)}] = time.Unix(int64(i), 0)
		}
		if n := len(g.of(at)); n != 10 || len(g.shown) != 10 || len(g.order) != 10 {
			t.Fatalf("%d series, %d kept, %d in order", n, len(g.shown), len(g.order))
		}
	}
	if n := len(g.of(nil)); n != 0 || len(g.shown) != 0 {
		t.Errorf("%d series, %d kept", n, len(g.shown))
	}
}

// TestUnderWayAndCRI are as the status has them.
func TestUnderWayAndCRI(t *testing.T) {
	CRI("uses certsd")
	if got := gather(t, "")["certsd_cri_info{cri=uses certsd}"]; got != 1 {
		t.Errorf("certsd_cri_info is %v", got)
	}
	CRI("")
	for name := range gather(t, "") {
		if name == "certsd_cri_info{cri=uses certsd}" {
			t.Error("certsd_cri_info stays")
		}
	}
}
