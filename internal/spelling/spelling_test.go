package spelling

import "testing"

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "ca", 2},
		{"server", "server", 0},
		{"serer", "server", 1},
		{"serrver", "server", 1},
		{"servar", "server", 1},
		{"sevrer", "server", 1}, // neighbours swapped
		{"client", "ca", 5},
	} {
		if got := Distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q is %d from %q, want %d", tt.a, got, tt.b, tt.want)
		}
		if got := Distance(tt.b, tt.a); got != tt.want {
			t.Errorf("%q is %d from %q, want %d", tt.b, got, tt.a, tt.want)
		}
	}
}
