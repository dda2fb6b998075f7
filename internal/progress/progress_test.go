package progress

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/console"
	"go.uber.org/goleak"

	"github.com/certsd/containerd-certsd/internal/citest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// report is a pull of three layers, of which one was there.
func report(r *Reporter) {
	r.Update(Item{Name: "layer sha256:aaaaaaaaaaaa", Offset: 0, Total: 3 << 20})
	r.Update(Item{Name: "layer sha256:bbbbbbbbbbbb", Total: 40, Done: true, Action: "already there"})
	r.Update(Item{Name: "layer sha256:aaaaaaaaaaaa", Offset: 1 << 20, Total: 3 << 20})
	r.Update(Item{Name: "layer of unknown size", Offset: 5})
	r.Printf("waiting for %s", "another pull")
	r.Update(Item{Name: "layer sha256:aaaaaaaaaaaa", Offset: 3 << 20, Total: 3 << 20, Done: true})
	r.Drop("layer of unknown size")
	r.Update(Item{Name: "nothing", Done: true})
	r.Close()
	r.Update(Item{Name: "late", Done: true})
}

func TestOneLinePerFinishedPart(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report(New(&out, Lines))
	want := `layer sha256:bbbbbbbbbbbb     40.0 B  already there
waiting for another pull
layer sha256:aaaaaaaaaaaa    3.0 MiB
nothing
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestQuietIsQuiet(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report(New(&out, Quiet))
	report(nil)
	if out.Len() > 0 {
		t.Errorf("got %q", &out)
	}
}

func TestServersCannotMoveTheCursor(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := New(&out, Lines)
	r.Printf("warning: %s", "\x1b[2Jgone\r\nlayer 2")
	r.Update(Item{Name: "a\x1b[1Ab", Done: true, Action: "\u009b2J"})
	if got, want := out.String(), "warning: ?[2Jgone??layer 2\na?[1Ab  ?2J\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := bar(Item{Name: "a\x1b[1Ab", Offset: 1, Total: 2}, 80), "a?[1Ab  ["; !strings.HasPrefix(got, want) {
		t.Errorf("the bar is %q", got)
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		screen := &screen{}
		var width atomic.Int64
		width.Store(80)
		r := start(screen, Bars, func() (int, int) { return int(width.Load()), 24 })
		steps := []struct {
			name string
			do   func()
			want string
		}{
			{"nothing yet", func() {}, ""},
			{"two on their way", func() {
				r.Update(Item{Name: "layer a", Offset: 0, Total: 100})
				r.Update(Item{Name: "layer b", Offset: 50, Total: 100, Action: "resumed"})
			}, `
layer a  [>                             ]  0.0 B / 100.0 B
layer b  [==============>               ]  50.0 B / 100.0 B  resumed
`},
			{"one ends, one of unknown size begins", func() {
				r.Update(Item{Name: "layer a", Offset: 100, Total: 100, Done: true})
				r.Update(Item{Name: "layer c", Offset: 7, Total: -1})
			}, `
layer a    100.0 B
layer b  [==============>               ]  50.0 B / 100.0 B  resumed
layer c  7.0 B
`},
			{"a narrow terminal", func() { width.Store(20) }, `
layer a    100.0 B
layer b  50.0 B / 1
layer c  7.0 B
`},
			{"closed", func() { r.Close() }, `
layer a    100.0 B
`},
		}
		for _, step := range steps {
			step.do()
			time.Sleep(interval)
			synctest.Wait()
			if got := screen.String(); got != strings.TrimPrefix(step.want, "\n") {
				t.Errorf("%s:\n%s\nwant\n%s", step.name, got, step.want)
			}
		}
	})
}

// TestBarsFitTheTerminalsWidth: that of most is 80, and the last cell stays
// free.
func TestBarsFitTheTerminalsWidth(t *testing.T) {
	t.Parallel()
	layer := Item{Name: "layer sha256:5cfc733106e9", Offset: 18248000, Total: 20000000}
	for width, want := range map[int]string{
		120: "layer sha256:5cfc733106e9  [==========================>   ]  17.4 MiB / 19.1 MiB",
		80:  "layer sha256:5cfc733106e9  [=========================>   ]  17.4 MiB / 19.1 MiB",
		60:  "layer sha256:5cfc733106e9  [=======> ]  17.4 MiB / 19.1 MiB",
		58:  "layer sha256:5cfc733106e9  17.4 MiB / 19.1 MiB",
	} {
		if got := bar(layer, width); got != want || len(got) >= width {
			t.Errorf("in %d cells:\n%s\nwant\n%s", width, got, want)
		}
	}
}

func TestBarsFitTheTerminalsHeight(t *testing.T) {
	t.Parallel()
	screen := &screen{}
	r := &Reporter{out: screen, mode: Bars, size: func() (int, int) { return 80, 4 }}
	for _, name := range []string{"a", "b", "c", "d"} {
		r.Update(Item{Name: name, Offset: 1})
	}
	r.draw()
	r.draw()
	if got, want := screen.String(), "a  1.0 B\nb  1.0 B\nand 2 more\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestStatus is one line below the bars, of the width of the terminal, and goes
// with them. Lines of another output stay above it.
func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		screen := &screen{}
		r := start(screen, Bars, func() (int, int) { return 20, 5 })
		for _, step := range []struct {
			name string
			do   func()
			want string
		}{
			{"alone", func() { r.Status("0 of 2 tags") }, "0 of 2 tags\n"},
			{"below the bars", func() { r.Update(Item{Name: "a", Offset: 1}) }, "a  1.0 B\n0 of 2 tags\n"},
			{"a line of another output", func() {
				r.Status("1 of 2 tags")
				r.Print(screen, "one: \x1b[31mcopied")
			}, "one: ?[31mcopied\na  1.0 B\n1 of 2 tags\n"},
			{"more than there is room for", func() {
				for _, name := range []string{"b", "c", "d"} {
					r.Update(Item{Name: name, Offset: 1})
				}
				r.Status("1 of 2 tags\x1b[2J, and more")
			}, "one: ?[31mcopied\na  1.0 B\nb  1.0 B\nand 2 more\n1 of 2 tags?[2J, an\n"},
			{"closed", func() {
				r.Close()
				r.Status("2 of 2 tags")
			}, "one: ?[31mcopied\n"},
		} {
			step.do()
			time.Sleep(interval)
			synctest.Wait()
			if got := screen.String(); got != step.want {
				t.Errorf("%s:\n%s\nwant\n%s", step.name, got, step.want)
			}
		}
	})
	var out bytes.Buffer
	for _, mode := range []Mode{Lines, Quiet} {
		r := New(&out, mode)
		r.Status("0 of 2 tags")
		r.Close()
	}
	(*Reporter)(nil).Status("0 of 2 tags")
	if out.Len() > 0 {
		t.Errorf("without bars it says %q", &out)
	}
}

// screen is what a terminal shows that understands what bars send.
type screen struct {
	mu    sync.Mutex
	lines []string
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(p)
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b[1A\x1b[2K\r"); ok {
			s.lines, text = s.lines[:len(s.lines)-1], rest
			continue
		}
		line, rest, _ := strings.Cut(text, "\n")
		s.lines, text = append(s.lines, line), rest
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for _, line := range s.lines {
		text.WriteString(line + "\n")
	}
	return text.String()
}

func TestModeFor(t *testing.T) {
	pty, name, err := console.NewPty()
	if err != nil {
		citest.Missing(t, "no terminals here: "+err.Error())
	}
	defer pty.Close()
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	if err := pty.Resize(console.WinSize{Width: 132, Height: 50}); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tt := range []struct {
		name  string
		out   io.Writer
		term  string
		quiet bool
		want  Mode
	}{
		{"a terminal", tty, "xterm", false, Bars},
		{"a terminal, but quiet", tty, "xterm", true, Quiet},
		{"a dumb terminal", tty, "dumb", false, Lines},
		{"a file", file, "xterm", false, Lines},
		{"no file", io.Discard, "xterm", false, Lines},
	} {
		t.Setenv("TERM", tt.term)
		if got := ModeFor(tt.out, tt.quiet); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	if width, height := terminalSize(tty); width != 132 || height != 50 {
		t.Errorf("the terminal is %d by %d", width, height)
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"sha256:4f4fb700ef54461cfa02571ae0db9a0d": "sha256:4f4fb700ef54",
		"4f4fb700ef54461cfa02571ae0db9a0d":        "4f4fb700ef54",
		"sha256:12":                               "sha256:12",
		"":                                        "",
	} {
		if got := Short(in); got != want {
			t.Errorf("Short(%q) = %q, want %q", in, got, want)
		}
	}
}
