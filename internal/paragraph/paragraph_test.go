package paragraph_test

import (
	"slices"
	"testing"

	"github.com/certsd/containerd-certsd/internal/paragraph"
)

func TestLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{"-"}},
		{"has room", "one  two\nthree", []string{"- one two three"}},
		{"goes on below", "one two three four five", []string{"- one two three", "  four five"}},
		{"a long word stays whole", "one /a/path/that/is/long two", []string{"- one", "  /a/path/that/is/long", "  two"}},
		{"characters count, not bytes", "öäü ßßß ÄÖÜ éé", []string{"- öäü ßßß ÄÖÜ éé"}},
	} {
		if got := paragraph.Lines("- ", "  ", tt.text, 16); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, not %q", tt.name, got, tt.want)
		}
	}
}
