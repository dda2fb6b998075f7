package imageservice

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/certsd/containerd-certsd/internal/registrytest"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
)

func listenUnix(t *testing.T, path string) (net.Listener, error) {
	t.Helper()
	return (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
}

// TestAPulledImageIsAsThoughCRIHadPulledIt: all of it is there and unpacked, under
// the names and with the labels that CRI looks for, and the next pull fetches
// nothing.
func TestAPulledImageIsAsThoughCRIHadPulledIt(t *testing.T) {
	t.Parallel()
	for kind, tt := range map[string]struct {
		push func(t *testing.T, r *mtlsRegistry) v1.Image
		// over is the way that it takes whatever containerd can do.
		over string
	}{
		"an image": {push: func(t *testing.T, r *mtlsRegistry) v1.Image { t.Helper(); return r.push(t, "team/app:1") }},
		"an image of old": {over: overSocket, push: func(t *testing.T, r *mtlsRegistry) v1.Image {
			t.Helper()
			image, err := random.Image(100, 1)
			must(t, err)
			image = mutate.ConfigMediaType(image, "application/octet-stream")
			r.pushImage(t, "team/app:1", image)
			return image
		}},
		"an image without layers": {over: overSocket, push: func(t *testing.T, r *mtlsRegistry) v1.Image {
			t.Helper()
			r.pushImage(t, "team/app:1", empty.Image)
			return empty.Image
		}},
		"an image of many platforms": {push: func(t *testing.T, r *mtlsRegistry) v1.Image {
			t.Helper()
			image, err := random.Image(100, 3)
			must(t, err)
			other, err := random.Image(100, 1)
			must(t, err)
			poorer, err := random.Image(100, 1)
			must(t, err)
			index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
				mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "plan9", Architecture: "mips"}}},
				mutate.IndexAddendum{Add: poorer, Descriptor: v1.Descriptor{Platform: alsoRuns()}},
				mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: goArch}}})
			must(t, remote.WriteIndex(registrytest.Tag(t, r.images, "team/app:1"), index))
			return image
		}},
	} {
		overBoth(t, kind, func(t *testing.T, over string) {
			n := newNodeOver(t, over)
			overs := []string{over, ""}
			if tt.over != "" {
				overs = []string{tt.over, tt.over} // its digest or its snapshots are others
			}
			pushed := tt.push(t, n.registry)
			n.cri.late = 3 // it takes its time
			_, client := n.serve(t)
			id, err := n.pull(t.Context(), client, "team/app:1", nil)
			must(t, err)
			if id != idOf(t, pushed) {
				t.Errorf("got %s, want %s", id, idOf(t, pushed))
			}
			ref := n.registry.host + "/team/app:1"
			manifest := n.whole(t, ref)
			record := n.image(t, ref)
			for _, name := range []string{ref, id, n.registry.host + "/team/app@" + record.Target.Digest.String()} {
				other := n.image(t, name)
				if other.Target.Digest != record.Target.Digest || !maps.Equal(other.Labels, map[string]string{labelManaged: managed}) {
					t.Errorf("%s leads to %s, labelled %v", name, other.Target.Digest, other.Labels)
				}
			}
			for _, layer := range manifest.Layers {
				info, err := n.db.ContentStore().Info(inK8s(t), layer.Digest)
				must(t, err)
				if got := info.Labels["containerd.io/distribution.source.127.0.0.1"]; got != "team/app" {
					t.Errorf("%s comes from %q", layer.Digest, got)
				}
			}
			n.registry.requests()
			again, err := n.pull(t.Context(), client, "team/app:1", nil)
			must(t, err)
			if blobs := n.registry.blobs(); again != id || len(blobs) > 0 {
				t.Errorf("the second time %s, with %v", again, blobs)
			}
			finished := n.finished()
			if len(finished) != 2 {
				t.Fatalf("it was told of %d pulls", len(finished))
			}
			for i, over := range overs {
				p := finished[i]
				if p.Ref != ref || p.Err != nil || p.Image != (pulledImage{ID: id, Digest: record.Target.Digest.String(), Snapshotter: "native", Over: over}) {
					t.Errorf("it was told of %+v", p)
				}
			}
		})
	}
}

// TestWhatSomebodyHasTakenAwayIsBroughtBack, and what somebody else has added stays.
func TestWhatSomebodyHasTakenAwayIsBroughtBack(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(t *testing.T, n *node, ref, id string){
		"the name by digest": func(t *testing.T, n *node, ref, _ string) {
			t.Helper()
			repository, _, _ := strings.Cut(ref, "/team/app")
			must(t, metadata.NewImageStore(n.db).Delete(inK8s(t), repository+"/team/app@"+n.image(t, ref).Target.Digest.String()))
		},
		"the name by ID": func(t *testing.T, n *node, _, id string) {
			t.Helper()
			must(t, metadata.NewImageStore(n.db).Delete(inK8s(t), id))
		},
		"a label": func(t *testing.T, n *node, ref, _ string) {
			t.Helper()
			_, err := metadata.NewImageStore(n.db).Update(inK8s(t), images.Image{Name: ref, Labels: map[string]string{"mine": "too"}}, "labels")
			must(t, err)
		},
		"the uppermost snapshot": func(t *testing.T, n *node, _, _ string) {
			t.Helper()
			parents := map[string]bool{}
			for _, s := range n.snapshots(t) {
				parents[s.Parent] = true
			}
			for _, s := range n.snapshots(t) {
				if !parents[s.Name] {
					must(t, n.db.Snapshotter("native").Remove(inK8s(t), s.Name))
				}
			}
		},
		"where the name led to": func(t *testing.T, n *node, ref, _ string) {
			t.Helper()
			other := n.image(t, ref).Target
			other.Digest = digest.FromString("somewhere else")
			_, err := metadata.NewImageStore(n.db).Update(inK8s(t), images.Image{Name: ref, Target: other}, "target")
			must(t, err)
		},
	} {
		overBoth(t, what, func(t *testing.T, over string) {
			n, client, ref, id := pulledOver(t, over)
			dgst := n.image(t, ref).Target.Digest
			change(t, n, ref, id)
			again, err := n.pull(t.Context(), client, "team/app:1", nil)
			if err != nil || again != id {
				t.Fatalf("got %s, %v, want %s", again, err, id)
			}
			n.came(t, over, over)
			n.whole(t, ref)
			for _, name := range []string{ref, id, n.registry.host + "/team/app@" + dgst.String()} {
				if record := n.image(t, name); record.Target.Digest != dgst || record.Labels[labelManaged] != managed {
					t.Errorf("%s leads to %s, labelled %v", name, record.Target.Digest, record.Labels)
				}
			}
			if what == "a label" && n.image(t, ref).Labels["mine"] != "too" {
				t.Error("somebody's label is gone")
			}
		})
	}
}

// TestATagThatMovedIsPulledAgain and leaves the other image to those who use it.
func TestATagThatMovedIsPulledAgain(t *testing.T) {
	t.Parallel()
	overBoth(t, "", func(t *testing.T, over string) {
		n, client, ref, old := pulledOver(t, over)
		_, err := metadata.NewImageStore(n.db).Update(inK8s(t), images.Image{Name: ref, Labels: map[string]string{"mine": "too"}}, "labels.mine")
		must(t, err)
		moved := n.registry.push(t, "team/app:1")
		id, err := n.pull(t.Context(), client, "team/app:1", nil)
		must(t, err)
		if id != idOf(t, moved) || id == old {
			t.Errorf("got %s, want %s", id, idOf(t, moved))
		}
		n.came(t, over, over)
		record := n.image(t, ref)
		if !maps.Equal(record.Labels, map[string]string{labelManaged: managed, "mine": "too"}) {
			t.Errorf("it is labelled %v", record.Labels)
		}
		config, err := record.Config(inK8s(t), n.db.ContentStore(), nil)
		if err != nil || config.Digest.String() != id {
			t.Errorf("the name leads to %s: %v", config.Digest, err)
		}
		n.image(t, old)
	})
}

// TestUnpackedLayersAreLeftToTheGarbageCollection where it is set so, and not fetched
// again for that.
func TestUnpackedLayersAreLeftToTheGarbageCollection(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.registry.push(t, "team/app:1")
	n.options.Settings = criSettings{DiscardUnpackedLayers: true, SnapshotAnnotations: true, NoDecryption: true}
	_, client := n.serve(t)
	id, err := n.pull(t.Context(), client, "team/app:1", nil)
	must(t, err)
	ref := n.registry.host + "/team/app:1"
	_, err = n.db.GarbageCollect(inK8s(t))
	must(t, err)
	manifest, err := images.Manifest(inK8s(t), n.db.ContentStore(), n.image(t, ref).Target, nil)
	must(t, err)
	for _, layer := range manifest.Layers {
		if _, err := n.db.ContentStore().Info(inK8s(t), layer.Digest); !errdefs.IsNotFound(err) {
			t.Errorf("%s is kept: %v", layer.Digest, err)
		}
	}
	if _, err := content.ReadBlob(inK8s(t), n.db.ContentStore(), manifest.Config); err != nil {
		t.Error(err)
	}
	all := n.snapshots(t)
	for _, s := range all {
		if got := s.Labels["containerd.io/snapshot/cri.image-ref"]; got != ref {
			t.Errorf("the snapshotter was told of %q: %v", got, s.Labels)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d snapshots", len(all))
	}
	n.registry.requests()
	if again, err := n.pull(t.Context(), client, "team/app:1", nil); err != nil || again != id {
		t.Errorf("the second time %s, %v", again, err)
	}
	if blobs := n.registry.blobs(); len(blobs) > 0 {
		t.Errorf("it was fetched again: %v", blobs)
	}
}

// TestCredentialsOfAPull go to the registry they are for; what is wrong with them is
// told without them.
func TestCredentialsOfAPull(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anna:"+secret))
	ofNode := "Basic " + base64.StdEncoding.EncodeToString([]byte("node:"+secret))
	for name, tt := range map[string]struct {
		auth *runtime.AuthConfig
		want string // what the registry takes
		node bool
		code codes.Code
		says string
	}{
		"user and password":       {auth: &runtime.AuthConfig{Username: "anna", Password: secret}, want: basic, node: true},
		"in base64":               {auth: &runtime.AuthConfig{Auth: strings.TrimPrefix(basic, "Basic ")}, want: basic, node: true},
		"those of the node":       {want: ofNode, node: true},
		"those of another server": {auth: &runtime.AuthConfig{Username: "anna", Password: secret, ServerAddress: "other.test"}, want: ofNode, node: true},
		"a registry token":        {auth: &runtime.AuthConfig{RegistryToken: secret}, want: "Bearer " + secret, node: true},
		"wrong ones": {
			auth: &runtime.AuthConfig{Username: "anna", Password: "x" + secret}, want: basic, node: true,
			code: codes.Unknown, says: "401",
		},
		"no base64":    {auth: &runtime.AuthConfig{Auth: secret + "%"}, want: basic, node: true, code: codes.Unknown, says: `"auth" is not USER:PASSWORD in base64`},
		"none are had": {want: basic, code: codes.Unknown, says: "401"},
	} {
		overBoth(t, name, func(t *testing.T, over string) {
			n := newNodeOver(t, over)
			pushed := n.registry.push(t, "team/app:1")
			n.registry.setGuard(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Header.Get("Authorization") == tt.want {
					return false
				}
				w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			})
			if tt.node {
				n.options.Credentials = func(_ context.Context, host, repository string) (user, password string, err error) {
					if host != n.registry.host || repository != "team/app" {
						return "", "", fmt.Errorf("asked for %s/%s", host, repository)
					}
					return "node", secret, nil
				}
			}
			_, client := n.serve(t)
			id, err := n.pull(t.Context(), client, "team/app:1", tt.auth)
			if tt.says == "" {
				if err != nil || id != idOf(t, pushed) {
					t.Errorf("got %s, %v", id, err)
				}
				n.came(t, over)
				return
			}
			if status.Code(err) != tt.code || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestWhatAPullFailsOfIsTold in the words and with the code of the fault, and leaves
// no name and no lease.
func TestWhatAPullFailsOfIsTold(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, n *node)
		code    codes.Code
		says    []string
	}{
		"no such image": {func(*testing.T, *node) {}, codes.NotFound, []string{"certsd cri: ", "REGISTRY", "404"}},
		"no certificate is taken": {func(t *testing.T, n *node) {
			t.Helper()
			dir := filepath.Join(n.root, n.registry.host)
			must(t, errors.Join(os.Remove(filepath.Join(dir, "second.cert")), os.Remove(filepath.Join(dir, "second.key"))))
		}, codes.Unknown, []string{"certsd cri: ", "403", "first.cert"}},
		"a layer with other bytes": {func(t *testing.T, n *node) {
			t.Helper()
			image := n.registry.push(t, "team/app:1")
			layers, err := image.Layers()
			must(t, err)
			dgst, err := layers[0].Digest()
			must(t, err)
			n.registry.setGuard(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, dgst.String()) {
					size, _ := layers[0].Size()
					_, _ = w.Write(make([]byte, size))
					return true
				}
				return false
			})
		}, codes.FailedPrecondition, []string{"certsd cri: ", "failed commit on ref \"layer-sha256:", "unexpected commit digest"}},
		"nothing comes": {func(t *testing.T, n *node) {
			t.Helper()
			n.registry.push(t, "team/app:1")
			n.options.Settings.ProgressTimeout = 50 * time.Millisecond
			n.registry.setGuard(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, "/blobs/") {
					<-r.Context().Done()
					return true
				}
				return false
			})
		}, codes.Unknown, []string{"pull REGISTRY/team/app:1: the registry has sent nothing for 50ms", "image_pull_progress_timeout"}},
		"a snapshotter that is not there": {func(t *testing.T, n *node) {
			t.Helper()
			n.registry.push(t, "team/app:1")
			n.options.Settings.Snapshotter = "blockfile"
		}, codes.InvalidArgument, []string{"snapshotter not loaded: blockfile"}},
		"CRI does not say": {func(t *testing.T, n *node) {
			t.Helper()
			n.registry.push(t, "team/app:1")
			n.cri.fail = status.Error(codes.Internal, "no disk")
		}, codes.Internal, []string{"asking CRI for ", "no disk"}},
		"no CRI": {func(t *testing.T, n *node) {
			t.Helper()
			n.stop()
			n.cri.disabled = true
			n.start(t)
		}, codes.FailedPrecondition, []string{"has no CRI: it is disabled in its configuration"}},
		"no snapshotter is told": {func(_ *testing.T, n *node) { n.cri.failFs = status.Error(codes.Internal, "no disk") }, codes.Internal, []string{"asking CRI for its snapshotter: ", "no disk"}},
		"containerd's configuration is broken": {func(t *testing.T, n *node) {
			t.Helper()
			n.options.Settings.DaemonConfig = brokenFile(t)
		}, codes.Unknown, []string{"containerd's configuration: ", "config.toml:1"}},
	} {
		overBoth(t, name, func(t *testing.T, over string) {
			n := newNodeOver(t, over)
			tt.prepare(t, n)
			var told error
			n.options.Hooks.OnPull = func(_ context.Context, p finishedPull) { told = p.Err }
			_, client := n.serve(t)
			id, err := n.pull(t.Context(), client, "team/app:1", nil)
			if status.Code(err) != tt.code || id != "" || told == nil {
				t.Errorf("got %q, %v; told of %v", id, err, told)
			}
			for _, want := range tt.says {
				if want = strings.ReplaceAll(want, "REGISTRY", n.registry.host); !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			all, err := metadata.NewImageStore(n.db).List(inK8s(t))
			if must(t, err); len(all) > 0 && name != "CRI does not say" {
				t.Errorf("it has names: %v", all)
			}
			if left := n.leases(t); len(left) > 0 {
				t.Errorf("leases are left: %v", left)
			}
		})
	}
}

// TestAnInterruptedPullGoesOn where it was, once somebody wants it again.
func TestAnInterruptedPullGoesOn(t *testing.T) {
	t.Parallel()
	overBoth(t, "", func(t *testing.T, over string) {
		n := newNodeOver(t, over)
		image, err := random.Image(3*chunk, 1)
		must(t, err)
		n.registry.pushImage(t, "team/app:1", image)
		layers, err := image.Layers()
		must(t, err)
		dgst, err := layers[0].Digest()
		must(t, err)
		ended := make(chan error, 1)
		n.options.Hooks.OnPull = func(_ context.Context, p finishedPull) { ended <- p.Err }
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var once sync.Once
		n.registry.setGuard(func(w http.ResponseWriter, r *http.Request) (done bool) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, dgst.String()) {
				return false
			}
			once.Do(func() {
				done = true
				body, err := layers[0].Compressed()
				if err != nil {
					t.Error(err)
					return
				}
				defer body.Close()
				size, _ := layers[0].Size()
				w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
				_, _ = io.CopyN(w, body, 2*chunk)
				_ = http.NewResponseController(w).Flush()
				n.waitForIngest(t)
				cancel()
				<-r.Context().Done()
			})
			return done
		})
		_, client := n.serve(t)
		if _, err := n.pull(ctx, client, "team/app:1", nil); status.Code(err) != codes.Canceled {
			t.Fatalf("got %v", err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) && !errors.Is(err, errUnwanted) {
			t.Errorf("the pull ended with %v", err)
		}
		if left := n.leases(t); len(left) > 0 {
			t.Errorf("leases are left: %v", left)
		}
		if all, err := metadata.NewImageStore(n.db).List(inK8s(t)); err != nil || len(all) > 0 {
			t.Errorf("it has names: %v, %v", all, err)
		}
		n.registry.requests()
		id, err := n.pull(t.Context(), client, "team/app:1", nil)
		must(t, errors.Join(err, <-ended))
		if id != idOf(t, image) {
			t.Errorf("got %s", id)
		}
		n.whole(t, n.registry.host+"/team/app:1")
		n.came(t, "", over)
		resumed := slices.ContainsFunc(n.registry.blobs(), func(a asked) bool {
			return strings.HasSuffix(a.path, dgst.String()) && strings.HasPrefix(a.rangeOf, "bytes=") && a.rangeOf != "bytes=0-"
		})
		if !resumed {
			t.Error("it began anew")
		}
	})
}

// waitForIngest waits until some of a blob is in containerd.
func (d *testDaemon) waitForIngest(t *testing.T) {
	t.Helper()
	for t.Context().Err() == nil {
		all, err := d.db.ContentStore().ListStatuses(inK8s(t))
		must(t, err)
		for _, s := range all {
			if s.Offset >= chunk {
				return
			}
		}
	}
}

// TestAnotherContainerdIsAskedAnew: it has been started again, with another
// configuration.
func TestAnotherContainerdIsAskedAnew(t *testing.T) {
	t.Parallel()
	overBoth(t, "", func(t *testing.T, over string) {
		n, client, ref, id := pulledOver(t, over)
		if got := n.image(t, ref).Labels[labelPinned]; got != "" {
			t.Fatalf("it is %s", got)
		}
		n.stop()
		if _, err := n.pull(t.Context(), client, "team/app:1", nil); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), n.address) {
			t.Errorf("got %v", err)
		}
		n.cri.config = criConfig(t, map[string]any{"sandboxImage": ref})
		n.start(t)
		n.registry.push(t, "team/app:2")
		_, err := n.pull(t.Context(), client, "team/app:2", nil)
		must(t, err)
		n.came(t, over, "", over)
		again, err := n.pull(t.Context(), client, "team/app:1", nil)
		if err != nil || again != id {
			t.Errorf("got %s, %v", again, err)
		}
		if got := n.image(t, ref).Labels[labelPinned]; got != pinned {
			t.Errorf("the image of sandboxes is %q", got)
		}
	})
}

// TestAStatusThatCannotBeRead is warned of, and CRI's defaults hold.
func TestAStatusThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{"[": "CRI's configuration in its status cannot be read", `{"imagePullProgressTimeout":"soon"}`: "soon"} {
		n := newNode(t)
		n.registry.push(t, "team/app:1")
		n.cri.config = config
		var warned []string
		n.options.Hooks.OnWarning = func(err error) { warned = append(warned, err.Error()) }
		_, client := n.serve(t)
		_, err := n.pull(t.Context(), client, "team/app:1", nil)
		must(t, err)
		if len(warned) != 1 || !strings.Contains(warned[0], want) {
			t.Errorf("%s: warned of %q", config, warned)
		}
	}
}

// TestAtStart what a killed process has left is removed, what one that lives needs is
// kept, and pinned images are brought.
func TestAtStart(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	pushed := n.registry.push(t, "team/pause:1")
	n.options.Lock = filepath.Join(t.TempDir(), "lock")
	n.options.Settings.Pinned = []string{n.registry.host + "/team/pause:1", "other.test/not/ours:1"}
	living, err := newAlive(n.options.Lock)
	must(t, err)
	defer living.close()
	manager := metadata.NewLeaseManager(n.db)
	for id, labels := range map[string]map[string]string{
		"killed":  {labelInstance: "test", labelProcess: "12345"},
		"living":  {labelInstance: "test", labelProcess: living.name()},
		"other's": {labelInstance: "other", labelProcess: "12345"},
	} {
		_, err := manager.Create(inK8s(t), leases.WithID(id), leases.WithLabels(labels))
		must(t, err)
	}
	brought := make(chan finishedPull, 1)
	n.options.Hooks.OnPull = func(_ context.Context, p finishedPull) { brought <- p }
	s, _ := n.serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	prepared := make(chan struct{})
	go func() {
		defer close(prepared)
		s.Prepare(ctx)
	}()
	if p := <-brought; p.Err != nil || p.Image.ID != idOf(t, pushed) {
		t.Errorf("brought %+v", p)
	}
	cancel()
	<-prepared
	left := map[string]bool{}
	for _, l := range n.leases(t) {
		left[l.ID] = true
	}
	if !maps.Equal(left, map[string]bool{"living": true, "other's": true}) {
		t.Errorf("left are %v", left)
	}
	if got := n.image(t, n.registry.host+"/team/pause:1").Labels[labelPinned]; got != pinned {
		t.Errorf("it is %q", got)
	}
	// It is there now, and is not asked for again.
	n.registry.requests()
	living.close()
	s.Prepare(t.Context())
	if asked := n.registry.requests(); len(asked) > 0 {
		t.Errorf("it was asked for again: %v", asked)
	}
}

// TestAProcessThatCannotTellWhoLives says so, and removes no lease.
func TestAProcessThatCannotTellWhoLives(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var warned []string
	n.options.Hooks.OnWarning = func(err error) { warned = append(warned, err.Error()) }
	n.options.Lock = t.TempDir() // no file
	_, err := metadata.NewLeaseManager(n.db).Create(inK8s(t), leases.WithID("a"), leases.WithLabels(map[string]string{labelInstance: "test", labelProcess: "1"}))
	must(t, err)
	s, _ := n.serve(t)
	living, err := s.target.leases.sweep(t.Context())
	if err != nil || !living || len(n.leases(t)) != 1 {
		t.Errorf("%t, %v, %d left", living, err, len(n.leases(t)))
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "are not removed") || !strings.Contains(warned[0], n.options.Lock) {
		t.Errorf("warned of %q", warned)
	}
}

// TestAVersion1ImageIsConverted into containerd.
func TestAVersion1ImageIsConverted(t *testing.T) {
	t.Parallel()
	overBoth(t, "", func(t *testing.T, over string) {
		old := v1test.New(v1test.Options{})
		defer old.Close()
		old.Add("library/app", "1",
			v1test.Layer{Data: v1test.Gzip(v1test.Tar(map[string]string{"a": "1"}))}, v1test.Layer{Data: v1test.Tar(map[string]string{"b": "2"})})
		n := newNodeOver(t, over)
		host := strings.TrimPrefix(old.URL, "http://")
		must(t, os.MkdirAll(filepath.Join(n.root, host), 0o755))
		must(t, os.WriteFile(filepath.Join(n.root, host, "hosts.toml"), []byte("server = \"http://"+host+"\"\n"), 0o600))
		_, client := n.serve(t)
		answer, err := client.PullImage(t.Context(), &runtime.PullImageRequest{Image: &runtime.ImageSpec{Image: host + "/app:1"}})
		must(t, err)
		n.came(t, over) // with nothing left to fetch
		n.whole(t, host+"/app:1")
		n.image(t, answer.GetImageRef())
	})
}
