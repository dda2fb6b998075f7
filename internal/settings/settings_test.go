package settings

import (
	"errors"
	"testing"
	"time"
)

func TestSizesAndDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"0": 0, "0GiB": 0, "1": 1, "17B": 17, "1KiB": 1024, "512MiB": 512 << 20, "20 GiB": 20 << 30, "1TiB": 1 << 40} {
		var s, again Size
		if err := errors.Join(s.UnmarshalText([]byte(text)), again.UnmarshalText([]byte(s.String()))); err != nil {
			t.Fatal(err)
		}
		if s != want || again != want {
			t.Errorf("%s is %d, then %d", text, s, again)
		}
	}
	var d Duration
	if err := d.UnmarshalText([]byte("1h30m")); err != nil {
		t.Fatal(err)
	}
	if time.Duration(d) != 90*time.Minute || d.String() != "1h30m0s" {
		t.Errorf("got %s", d)
	}
}
