package bytesize_test

import (
	"testing"

	"github.com/certsd/containerd-certsd/internal/bytesize"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64][2]string{
		0:               {"0 bytes", "0 bytes"},
		1023:            {"1023 bytes", "1023 bytes"},
		1 << 10:         {"1.0 KiB", "1 KiB"},
		3 << 19:         {"1.5 MiB", "1 MiB"},
		4 << 20:         {"4.0 MiB", "4 MiB"},
		5<<30 + 512<<20: {"5.5 GiB", "5632 MiB"},
	} {
		if got := [2]string{bytesize.Of(n), bytesize.Limit(n)}; got != want {
			t.Errorf("%d: %q, not %q", n, got, want)
		}
	}
}
