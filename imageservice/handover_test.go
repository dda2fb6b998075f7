package imageservice

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/errdefs"
)

// TestSuits: a pull by the transfer service has its own settings, and no others.
func TestSuits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(c *configuration)
		suits  bool
	}{
		"by default":                      {func(*configuration) {}, true},
		"containerd 1":                    {func(c *configuration) { c.transfer.there = false }, false},
		"annotations":                     {func(c *configuration) { c.annotations = true }, false},
		"discarded layers":                {func(c *configuration) { c.discard = true }, false},
		"more downloads":                  {func(c *configuration) { c.downloads = 4 }, false},
		"more downloads there":            {func(c *configuration) { c.transfer.downloads = 4 }, false},
		"as many":                         {func(c *configuration) { c.downloads, c.transfer.downloads = 9, 9 }, true},
		"pieces of layers":                {func(c *configuration) { c.layerFetchBuffer = 1 }, false},
		"pieces of layers there":          {func(c *configuration) { c.transfer.layerFetchBuffer = 1 }, false},
		"another snapshotter":             {func(c *configuration) { c.snapshotter = "native" }, false},
		"another snapshotter there":       {func(c *configuration) { c.transfer.snapshotters = []string{"native"} }, false},
		"no snapshotter there":            {func(c *configuration) { c.transfer.snapshotters = nil }, false},
		"one of two":                      {func(c *configuration) { c.transfer.snapshotters = []string{"native", "overlayfs"} }, true},
		"no decryption":                   {func(c *configuration) { c.decrypts = false }, true},
		"a time for progress, and pinned": {func(c *configuration) { c.progressTimeout, c.pinned["app:1"] = 1, true }, true},
	} {
		c := untold()
		c.snapshotter, c.transfer.there = "overlayfs", true
		tt.change(&c)
		if got := c.suits(c.snapshotter); got != tt.suits {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestSettingsThatTheTransferServiceHasNot are kept, over the socket.
func TestSettingsThatTheTransferServiceHasNot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		settings criSettings
		over     string
	}{
		"as many downloads": {criSettings{Downloads: defaultDownloads}, overLoopback},
		"more downloads":    {criSettings{Downloads: 9}, overSocket},
		"annotations":       {criSettings{SnapshotAnnotations: true}, overSocket},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNodeWith(t, &transferring{})
			tt.settings.DaemonConfig = n.options.Settings.DaemonConfig
			n.options.Settings = tt.settings
			n.registry.push(t, "team/app:1")
			_, client := n.serve(t)
			_, err := n.pull(t.Context(), client, "team/app:1", nil)
			must(t, err)
			n.came(t, tt.over)
			n.whole(t, n.registry.host+"/team/app:1")
			if got := n.v2.verified(); len(got) != 1 {
				t.Errorf("the verifier was asked about %v", got)
			}
		})
	}
}

// TestAVerifierThatRefuses has the last word, with its reason: nothing of the image is
// fetched, whatever the way.
func TestAVerifierThatRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		config *transferring
		says   string
	}{
		"it refuses":         {&transferring{refuse: "nobody has signed it"}, "nobody has signed it"},
		"it fails":           {&transferring{fail: errors.New("no keys")}, "no keys"},
		"it is asked wrong":  {&transferring{fail: errdefs.ErrInvalidArgument}, "image verifier test returned error: invalid argument"},
		"it knows none such": {&transferring{fail: errdefs.ErrNotFound}, "image verifier test returned error: not found"},
		"it does not know":   {&transferring{fail: errdefs.ErrNotImplemented}, "not implemented"},
		"it is not there":    {&transferring{fail: errdefs.ErrUnavailable}, "image verifier test returned error: unavailable"},
		"over the socket":    {&transferring{refuse: "nobody has signed it", overSocket: true}, "nobody has signed it"},
		"it fails there":     {&transferring{fail: errdefs.ErrInvalidArgument, overSocket: true}, "image verifier test returned error: invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNodeWith(t, tt.config)
			n.options.Settings.SnapshotAnnotations = tt.config.overSocket
			n.registry.push(t, "team/app:1")
			_, client := n.serve(t)
			id, err := n.pull(t.Context(), client, "team/app:1", nil)
			ref := n.registry.host + "/team/app:1"
			if err == nil || id != "" || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "containerd's pull of "+ref+" from "+n.registry.host) {
				t.Errorf("got %q, %v", id, err)
			}
			if blobs := n.registry.blobs(); len(blobs) > 0 {
				t.Errorf("fetched %v", blobs)
			}
			all, err := metadata.NewImageStore(n.db).List(inK8s(t))
			if must(t, err); len(all) > 0 {
				t.Errorf("it has names: %v", all)
			}
			n.came(t, "")
			if left := n.leases(t); len(left) > 0 {
				t.Errorf("leases are left: %v", left)
			}
		})
	}
}

// TestWhatAVerifierIsAsked about: the image that the registry named, never another.
func TestWhatAVerifierIsAsked(t *testing.T) {
	t.Parallel()
	n := newNodeWith(t, &transferring{})
	pushed := n.registry.push(t, "team/app:1")
	dgst, err := pushed.Digest()
	must(t, err)
	_, client := n.serve(t)
	_, err = n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	if got := n.v2.verified(); !slices.Equal(got, []string{n.registry.host + "/team/app:1@" + dgst.String()}) {
		t.Errorf("asked about %v", got)
	}
	again := n.registry.push(t, "team/app:2")
	dgst, err = again.Digest()
	must(t, err)
	_, err = n.pull(t.Context(), client, "team/app@"+dgst.String(), nil)
	must(t, err)
	if got := n.v2.verified(); !slices.Equal(got, []string{n.registry.host + "/team/app@" + dgst.String()}) {
		t.Errorf("asked about %v", got)
	}
	n.came(t, overLoopback, overLoopback)
}

// TestATransferServiceThatDoesNotUnpack the image, other than its configuration said, does
// not keep it from being unpacked.
func TestATransferServiceThatDoesNotUnpack(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]*transferring{
		"no snapshotter":         {snapshotter: "none"},
		"another kind of images": {configType: "application/vnd.test.config+json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNodeWith(t, config)
			n.options.Settings.DaemonConfig = (&transferring{}).write(t)
			n.registry.push(t, "team/app:1")
			_, client := n.serve(t)
			_, err := n.pull(t.Context(), client, "team/app:1", nil)
			must(t, err)
			n.came(t, overSocket)
			n.whole(t, n.registry.host+"/team/app:1")
			if got := n.v2.verified(); len(got) != 1 {
				t.Errorf("the verifier was asked about %v", got)
			}
		})
	}
}

// TestABlobThatDoesNotCome makes the pull fail in the words of the registry's answer, and
// names the registry: it must not look as though 127.0.0.1 were to blame.
func TestABlobThatDoesNotCome(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer func(w http.ResponseWriter, size int)
		says   []string
	}{
		"other bytes": {func(w http.ResponseWriter, size int) { _, _ = w.Write(make([]byte, size)) }, []string{"pull of REGISTRY/team/app:1 from REGISTRY", "unexpected commit digest"}},
		"none":        {func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNotFound) }, []string{"GET https://REGISTRY/v2/team/app/blobs/", "404 Not Found", "second.cert"}},
		"an error":    {func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusInternalServerError) }, []string{"GET https://REGISTRY/v2/team/app/blobs/", "500 Internal Server Error"}},
		"a refusal":   {func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusForbidden) }, []string{"GET https://REGISTRY/v2/team/app/blobs/", "403 Forbidden", "second.cert"}},
		"too few": {func(w http.ResponseWriter, size int) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = w.Write(make([]byte, size-9))
		}, []string{"REGISTRY/team/app:1", "unexpected EOF"}},
		"too few, and says so": {func(w http.ResponseWriter, size int) { _, _ = w.Write(make([]byte, size-9)) }, []string{"REGISTRY/team/app:1", "unexpected EOF"}},
	} {
		overBoth(t, name, func(t *testing.T, over string) {
			n := newNodeOver(t, over)
			layers, err := n.registry.push(t, "team/app:1").Layers()
			must(t, err)
			dgst, err := layers[1].Digest()
			must(t, err)
			size, err := layers[1].Size()
			must(t, err)
			n.registry.setGuard(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, dgst.String()) {
					return false
				}
				tt.answer(w, int(size))
				return true
			})
			_, client := n.serve(t)
			id, err := n.pull(t.Context(), client, "team/app:1", nil)
			if err == nil || id != "" {
				t.Fatalf("got %q, %v", id, err)
			}
			for _, want := range tt.says {
				if want = strings.ReplaceAll(want, "REGISTRY", n.registry.host); !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "502 Bad") || strings.Contains(err.Error(), "?ns=") {
				t.Errorf("it tells of the way there: %v", err)
			}
			all, err := metadata.NewImageStore(n.db).List(inK8s(t))
			if must(t, err); len(all) > 0 {
				t.Errorf("it has names: %v", all)
			}
		})
	}
}
