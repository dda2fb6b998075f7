package safetext

import (
	"encoding/json"
	"testing"
	"unicode"
)

func TestInertJSON(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		`{"a":"b<"}`:               `{"a":"b<"}`,
		"[\"é 世 😀\"]":              `["é 世 😀"]`,
		"[\"\u009b2J\u202e\x7f\"]": `["\u009b2J\u202e\u007f"]`,
		"[\"\U000e0001\"]":         `["\udb40\udc01"]`,
	} {
		if got := string(InertJSON([]byte(doc))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func FuzzInertJSON(f *testing.F) {
	for _, text := range []string{"", "a\u202eb", "\x9b\xff", "\U000e0001\u2028", "<script>\x1b[2J"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		inert := InertJSON(doc)
		for _, r := range string(inert) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %U", inert, r)
			}
		}
		var before, after string
		if json.Unmarshal(doc, &before) != nil || json.Unmarshal(inert, &after) != nil || before != after {
			t.Errorf("%q becomes %q", before, after)
		}
	})
}
