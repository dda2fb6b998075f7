package tpmkey

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// scripted answers whatever is written.
type scripted struct{ io.Reader }

func (scripted) Write(p []byte) (int, error) { return len(p), nil }
func (scripted) Close() error                { return nil }

func TestFramesOfASimulator(t *testing.T) {
	t.Parallel()
	answer := append([]byte{0x80, 1, 0, 0, 0, headerSize}, 0, 0, 0, 0)
	frame := func(size uint32, code uint32) string {
		text := append(binary.BigEndian.AppendUint32(nil, size), answer...)
		return string(binary.BigEndian.AppendUint32(text, code))
	}
	for name, tc := range map[string]struct{ text, want string }{
		"whole":           {frame(headerSize, 0), ""},
		"ended by a code": {frame(headerSize, 7), "it ended the answer with 7"},
		"too long":        {frame(maxAnswer+1, 0), "its answer says that it has 8193 bytes"},
		"too short":       {frame(headerSize-1, 0), "its answer says that it has 9 bytes"},
		"cut":             {frame(headerSize, 0)[:8], "it went away without an answer"},
		"without a code":  {frame(headerSize, 0)[:14], "it went away without an answer"},
	} {
		got, err := (&frames{scripted{strings.NewReader(tc.text)}}).Send([]byte("a command"))
		if err != nil {
			if text := err.Error(); text != tc.want {
				t.Errorf("%s: %q, want %q", name, text, tc.want)
			}
		} else if tc.want != "" || string(got) != string(answer) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
