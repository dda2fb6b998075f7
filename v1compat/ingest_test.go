package v1compat

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/internal/bounded"
	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// tape is a layer whose answers are scripted: one step for each request, the
// last for all that follow. It notes the offsets asked for.
type tape struct {
	data  []byte
	steps []step

	mu      sync.Mutex
	offsets []int64
}

// step is one answer: the layer from the offset asked for on.
type step struct {
	err       error  // instead of an answer
	cut       int    // after so many bytes of body, if not 0
	cutErr    error  // with this, io.ErrUnexpectedEOF if nil
	over      bool   // starts over at 0
	elsewhere bool   // starts at byte 1
	data      []byte // another layer
	validator string
	noTotal   bool
}

func (p *tape) open(_ context.Context, offset int64) (*LayerStream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.steps[min(len(p.offsets), len(p.steps)-1)]
	p.offsets = append(p.offsets, offset)
	if s.err != nil {
		return nil, s.err
	}
	data := p.data
	if s.data != nil {
		data = s.data
	}
	start := offset
	if s.over {
		start = 0
	} else if s.elsewhere {
		start = 1
	}
	body := io.Reader(bytes.NewReader(data[start:]))
	if s.cut > 0 {
		err := s.cutErr
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		body = io.MultiReader(io.LimitReader(body, int64(s.cut)), failing{err})
	}
	total := int64(len(data))
	if s.noTotal {
		total = -1
	}
	return &LayerStream{ReadCloser: io.NopCloser(body), Start: start, Total: total, Validator: s.validator}, nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// noise is a tar archive of n bytes that do not compress.
func noise(n int) []byte {
	var b []byte
	for i := uint64(1); len(b) < n; i++ {
		x := i * 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		b = binary.LittleEndian.AppendUint64(b, x^x>>31)
	}
	return v1test.Tar(map[string]string{"noise": string(b)})
}

func TestCutLayers(t *testing.T) {
	t.Parallel()
	tar := noise(400_000)
	gz := v1test.Gzip(tar)
	other, long := v1test.Gzip(noise(450_000)), noise(2_100_000)
	n := int64(200_000)
	rows := []struct {
		name    string
		data    []byte
		steps   []step
		offsets []int64
		want    []byte // if not data
	}{
		{"not cut", gz, []step{{}}, []int64{0}, nil},
		{"an error at the very end", gz, []step{{cut: len(gz)}}, []int64{0}, nil},
		{"cut once", gz, []step{{cut: 200_000}, {}}, []int64{0, n}, nil},
		{"ends early without an error", gz, []step{{cut: 200_000, cutErr: io.EOF}, {}}, []int64{0, n}, nil},
		{"cut in the first bytes", gz, []step{{cut: 1}, {cut: 1}, {cut: 3}, {}}, []int64{0, 1, 2, 5}, nil},
		{"plain tar", tar, []step{{cut: 200_000}, {}}, []int64{0, n}, nil},
		{"xz, which is rewritten", xzOf(t, tar), []step{{cut: 200_000}, {}}, []int64{0, n}, tar},
		{"cut often, but coming on", long, append(repeated(6, step{cut: 300_000}), step{}), nil, nil},
		{"started over, the same version", gz, []step{{cut: 200_000, validator: "a"}, {over: true, validator: "a"}}, []int64{0, n}, nil},
		{"started over, cut again before it comes on", gz, []step{{cut: 200_000, validator: "a"}, {over: true, cut: 100_000, validator: "a"}, {validator: "a"}}, []int64{0, n, n}, nil},
		{"started over, no version", gz, []step{{cut: 200_000}, {over: true}}, []int64{0, n}, nil},
		{"started over, another version", gz, []step{{cut: 200_000, validator: "a"}, {over: true, data: other, validator: "b"}}, []int64{0, n}, other},
		{"goes on with another version", gz, []step{{cut: 200_000, validator: "a"}, {data: other, validator: "b"}}, []int64{0, n, 0}, other},
		{"started over, no version, another layer", tar, []step{{cut: 200_000}, {over: true, data: damagedAt(tar, 1000)}}, []int64{0, n}, damagedAt(tar, 1000)},
		{"goes on with another version of the same length", tar, []step{{cut: 200_000, validator: "a"}, {data: damagedAt(tar, 1000), validator: "b"}}, []int64{0, n, 0}, damagedAt(tar, 1000)},
		{"goes on with another length", gz, []step{{cut: 200_000}, {data: other}}, []int64{0, n, 0}, other},
		{"goes on elsewhere, then right", gz, []step{{cut: 200_000}, {elsewhere: true}, {}}, []int64{0, n, n}, nil},
		{"unknown total", gz, []step{{noTotal: true}}, []int64{0}, nil},
		{"unknown total, cut", gz, []step{{noTotal: true, cut: 200_000}, {noTotal: true}}, []int64{0, 0}, nil},
		{"unknown total, gzip ends early", gz, []step{{noTotal: true, cut: 200_000, cutErr: io.EOF}, {noTotal: true}}, []int64{0, 0}, nil},
		{"unknown total, tar ends early", tar, []step{{noTotal: true, cut: 200_000, cutErr: io.EOF}, {noTotal: true}}, []int64{0, 0}, nil},
		{"refused, then given", gz, []step{{err: errdefs.ErrUnavailable}, {}}, []int64{0, 0}, nil},
		{"damaged once", gz, []step{{data: damaged(gz)}, {}}, []int64{0, 0}, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := &tape{data: row.data, steps: row.steps}
			img := imageOf(row.data)
			img.Entries[0].Open = p.open
			c := &Converter{Store: localStore(t), sleep: noSleep}
			got := convert(t, c, img)
			want := row.data
			if row.want != nil {
				want = row.want
			}
			if d := digest.FromBytes(want); got.manifest.Layers[0].Digest != d {
				t.Errorf("layer %v, want %v", got.manifest.Layers[0].Digest, d)
			}
			if row.offsets != nil {
				if diff := cmp.Diff(row.offsets, p.offsets); diff != "" {
					t.Errorf("offsets asked for (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func repeated(n int, s step) []step {
	list := make([]step, n)
	for i := range list {
		list[i] = s
	}
	return list
}

func damaged(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)/2] ^= 0x55
	return data
}

func TestGivenUpLayers(t *testing.T) {
	t.Parallel()
	tar := noise(2_200_000)
	gz := v1test.Gzip(noise(100_000))
	rows := []struct {
		name     string
		steps    []step
		want     string
		requests int // at most
	}{
		{"never there", []step{{err: errdefs.ErrNotFound}}, "not found", 1},
		{"not allowed", []step{{err: errdefs.ErrPermissionDenied}}, "permission denied", 1},
		{"always refused", []step{{err: errdefs.ErrUnavailable}}, "given up after 6", 6},
		{"always cut at once", []step{{cut: 1}}, "given up after", 8},
		{"always cut, unknown total", []step{{noTotal: true, cut: 500_000}}, "given up after", 12},
		{"always begins elsewhere", []step{{cut: 9}, {elsewhere: true}}, "begins at byte 1", 8},
		{"always damaged", []step{{data: damaged(gz)}}, "decompress [gzip]", 2},
		{"changes with every answer", changing(tar), "unexpected EOF", 70},
		{"comes on, but with long waits", waits(), "given up after", 70},
		{"too slow", []step{{cut: 500_000, cutErr: &bounded.SlowError{Host: "slow.example", Bytes: 9, Waited: time.Minute}}, {}}, "slow.example sent 9 bytes", 1},
		{"endless little pieces", []step{{cut: 10_000}}, "given up after", 70},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := &tape{data: tar, steps: row.steps}
			img := imageOf(tar)
			img.Entries[0].Open = p.open
			var waited time.Duration
			store := localStore(t)
			c := &Converter{Store: store, sleep: func(ctx context.Context, d time.Duration) error {
				waited += d
				return ctx.Err()
			}}
			_, err := c.Convert(t.Context(), img)
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
			if n := len(p.offsets); n > row.requests {
				t.Errorf("%d requests, at most %d expected", n, row.requests)
			}
			if waited > 20*time.Second {
				t.Errorf("waited %v in all", waited)
			}
		})
	}
}

// waits cuts a layer after some progress and then fails a few times, again and
// again.
func waits() []step {
	var list []step
	for range 10 {
		refused := step{err: errdefs.ErrUnavailable}
		list = append(list, step{cut: 270_000}, refused, refused, refused, refused)
	}
	return list
}

func TestRetries(t *testing.T) {
	t.Parallel()
	var r retries
	c := &Converter{sleep: noSleep}
	n := 0
	for r.pause(t.Context(), c, int64(n)<<20, io.EOF) == nil {
		n++
	}
	if n != maxRetries-1 {
		t.Errorf("%d attempts with progress in between, want %d", n, maxRetries-1)
	}
}

// changing answers with a new version each time, cut.
func changing(data []byte) []step {
	list := make([]step, 100)
	for i := range list {
		list[i] = step{data: data[:len(data)-i], cut: 300_000, over: true, validator: strconv.Itoa(i)}
	}
	return list
}

// TestLaterRun breaks a conversion off in the middle of a layer and runs
// another with the same store.
func TestLaterRun(t *testing.T) {
	t.Parallel()
	tar := noise(400_000)
	gz := v1test.Gzip(tar)
	other := v1test.Gzip(noise(500_000))
	long := noise(1_100_000)
	longXZ := xzOf(t, long)
	const n = 262_144 // two chunks are in the store
	checksum := func(data []byte) func(*Entry) {
		return func(e *Entry) {
			e.Checksums = []string{digest.FromBytes(append(append(bytes.Clone(e.JSON), '\n'), data...)).String()}
		}
	}
	rows := []struct {
		name     string
		data     []byte
		first    step
		later    []step
		edit     func(*Entry)
		offsets  []int64
		want     []byte
		warnings int
	}{
		{"goes on", gz, step{validator: "a"}, []step{{validator: "a"}}, nil, []int64{n}, gz, 0},
		{"goes on, plain", tar, step{validator: "a"}, []step{{validator: "a"}}, nil, []int64{n}, tar, 0},
		{"goes on, zstd", zstdOf(t, tar), step{validator: "a"}, []step{{validator: "a"}}, nil, []int64{n}, zstdOf(t, tar), 0},
		{"goes on and is cut", gz, step{validator: "a"}, []step{{validator: "a", cut: 1000}, {validator: "a"}}, nil, []int64{n, n + 1000}, gz, 0},
		{"goes on with a checksum only", gz, step{}, []step{{}}, checksum(gz), []int64{n}, gz, 0},
		{"xz begins anew", longXZ, step{validator: "a"}, []step{{validator: "a"}}, nil, []int64{0}, long, 0},
		{"without a version begins anew", gz, step{}, []step{{}}, nil, []int64{0}, gz, 0},
		{"without a total begins anew", gz, step{validator: "a", noTotal: true}, []step{{validator: "a"}}, nil, []int64{0}, gz, 0},
		{"another version begins anew", gz, step{validator: "a"}, []step{{validator: "b", data: other}}, nil, []int64{n, 0}, other, 1},
		{"another length begins anew", gz, step{validator: "a"}, []step{{validator: "a", data: other}}, nil, []int64{n, 0}, other, 1},
		{"another version of the same length begins anew", tar, step{validator: "a"}, []step{{validator: "b", data: damagedAt(tar, 1000)}}, nil, []int64{n, 0}, damagedAt(tar, 1000), 1},
		{"a server without ranges begins anew, plain", tar, step{validator: "a"}, []step{{validator: "a", over: true}}, nil, []int64{n, 0}, tar, 1},
		{"a server without ranges begins anew", gz, step{validator: "a"}, []step{{validator: "a", over: true}}, nil, []int64{n, 0}, gz, 1},
		{"another version of the same name is found out", gz, step{validator: "a"}, []step{{validator: "a", data: damagedAt(gz, 300_000)}, {validator: "a"}}, nil, []int64{n, 0}, gz, 1},
		{"a wrong checksum begins anew", tar, step{}, []step{{data: damagedAt(tar, 400_000)}, {}}, checksum(tar), []int64{n, 0}, tar, 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			store := localStore(t)
			img := imageOf(row.data)
			if row.edit != nil {
				row.edit(&img.Entries[0])
			}
			ctx, cancel := context.WithCancel(t.Context())
			row.first.cut = n + 5000
			row.first.cutErr = context.Canceled
			p := &tape{data: row.data, steps: []step{row.first}}
			img.Entries[0].Open = func(ctx context.Context, offset int64) (*LayerStream, error) {
				s, err := p.open(ctx, offset)
				s.ReadCloser = &stopping{ReadCloser: s.ReadCloser, left: row.first.cut, stop: cancel}
				return s, err
			}
			if _, err := (&Converter{Store: store, sleep: noSleep}).Convert(ctx, img); !errors.Is(err, context.Canceled) {
				t.Fatalf("the first run: %v", err)
			}
			left, err := store.ListStatuses(t.Context())
			if err != nil || len(left) > 0 != (row.offsets[0] > 0) {
				t.Errorf("left of the first run: %v, %v", left, err)
			}
			p = &tape{data: row.data, steps: row.later}
			img.Entries[0].Open = p.open
			warnings := 0
			c := &Converter{Store: store, sleep: noSleep, Hooks: Hooks{OnWarning: func(err error) { warnings++; t.Log(err) }}}
			got := convert(t, c, img)
			if d := digest.FromBytes(row.want); got.manifest.Layers[0].Digest != d {
				t.Errorf("layer %v, want %v", got.manifest.Layers[0].Digest, d)
			}
			if diff := cmp.Diff(row.offsets[0], p.offsets[0]-p.offsets[0]%chunkSize); diff != "" && row.offsets[0] != 0 {
				t.Errorf("first offset asked for (-want +got):\n%s", diff)
			}
			if len(p.offsets) != len(row.offsets) || row.offsets[0] == 0 && p.offsets[0] != 0 {
				t.Errorf("offsets asked for: %v, want %v", p.offsets, row.offsets)
			}
			blobs := 0
			_ = store.Walk(t.Context(), func(content.Info) error { blobs++; return nil })
			if blobs != 3 {
				t.Errorf("%d blobs for layer, config and manifest", blobs)
			}
			if warnings != row.warnings {
				t.Errorf("%d warnings, want %d", warnings, row.warnings)
			}
			fresh := imageOf(row.want)
			if row.edit != nil {
				row.edit(&fresh.Entries[0])
			}
			if want := convert(t, &Converter{Store: localStore(t)}, fresh); got.desc.Digest != want.desc.Digest {
				t.Errorf("manifest %s, in one go %s", got.desc.Digest, want.desc.Digest)
			}
		})
	}
}

// TestLeftovers finds in the store what a process left that was killed.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	tar := noise(1000)
	img := imageOf(xzOf(t, tar), v1test.Gzip(tar))
	store := localStore(t)
	for i, ref := range []string{refRewrite, refLayer, refLock} {
		ref += string(newSource(img.origin()).fingerprint(&img.Entries[min(i, 1)]))
		if strings.HasPrefix(ref, refLayer) {
			ref += "-5-x"
		}
		w, err := store.Writer(t.Context(), content.WithRef(ref))
		if err == nil {
			_, err = w.Write([]byte(strings.Repeat("left", 1000)))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	got := convert(t, &Converter{Store: store}, img)
	if got.manifest.Layers[0].Digest != digest.FromBytes(tar) {
		t.Errorf("layers %v", got.manifest.Layers)
	}
}

func damagedAt(data []byte, i int) []byte {
	data = bytes.Clone(data)
	data[i] ^= 0x55
	return data
}

// stopping calls stop after so many bytes.
type stopping struct {
	io.ReadCloser
	left int
	stop func()
}

func (s *stopping) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.left -= n; s.left <= 0 {
		s.stop()
	}
	return n, err
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	gz := v1test.Gzip(noise(1000))
	img := imageOf(gz)
	good := digest.FromBytes(append(append(bytes.Clone(img.Entries[0].JSON), '\n'), gz...)).String()
	bad := digest.FromString("bad").String()
	rows := []struct {
		name      string
		checksums []string
		digest    digest.Digest
		want      string
	}{
		{"none", nil, "", ""},
		{"right", []string{good}, "", ""},
		{"right, in capitals", []string{strings.ToUpper(good)}, "", ""},
		{"wrong", []string{bad}, "", "its checksum with the image JSON"},
		{"one of two", []string{bad, good}, "", ""},
		{"of other kinds", []string{"tarsum+sha256:" + bad[7:], "md5:abc", bad[7:], "sha256:abc", "sha256:"}, "", ""},
		{"digest right", nil, digest.FromBytes(gz), ""},
		{"digest of SHA-512 right", nil, digest.SHA512.FromBytes(gz), ""},
		{"digest wrong", nil, digest.Digest(bad), "its digest is"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := &tape{data: gz, steps: []step{{}}}
			img := imageOf(gz)
			img.Entries[0].Checksums, img.Entries[0].Digest, img.Entries[0].Open = row.checksums, row.digest, p.open
			store := localStore(t)
			_, err := (&Converter{Store: store}).Convert(t.Context(), img)
			if row.want == "" {
				if err != nil || len(p.offsets) != 1 {
					t.Errorf("%v after %d requests", err, len(p.offsets))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), row.want) || len(p.offsets) != 2 {
				t.Errorf("error %v after %d requests, want %q after 2", err, len(p.offsets), row.want)
			}
			nothingIn(t, store)
		})
	}
}

// TestEmptyBody is about an answer that may be cut before its first byte.
func TestEmptyBody(t *testing.T) {
	t.Parallel()
	gz := v1test.Gzip(noise(1000))
	p := &tape{data: gz, steps: []step{{noTotal: true, data: []byte{}}, {}}}
	img := imageOf(gz)
	img.Entries[0].Open, img.Entries[0].Size = p.open, int64(len(gz))
	got := convert(t, &Converter{Store: localStore(t), sleep: noSleep}, img)
	if got.config.History[0].EmptyLayer || got.manifest.Layers[0].Digest != digest.FromBytes(gz) {
		t.Errorf("layers %v", got.manifest.Layers)
	}
}
