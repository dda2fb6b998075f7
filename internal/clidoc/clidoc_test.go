package clidoc

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v3"
)

// sample is a tree with everything that has to be documented.
func sample() *cli.Command {
	return &cli.Command{
		Name: "tool", Usage: "do things", Version: "1.2",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "debug", Usage: "say more"}},
		Commands: []*cli.Command{
			{
				Name: "pull", Usage: "get `it`", ArgsUsage: "REF", Aliases: []string{"p"},
				Description: "Gets it.\nAll of it.\n\nExamples:\n    tool pull a \\\n      --b 'c'\n\n    tool pull -- d\n\n.rc is left alone.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "root", Aliases: []string{"r"}, Usage: "look in `DIR`", Value: "/etc"},
					&cli.StringSliceFlag{Name: "on", Usage: "on `STATUS`", Value: []string{"403", "5xx"}},
					&cli.DurationFlag{Name: "wait", Usage: "wait `TIME`", Value: time.Hour},
					&cli.BoolFlag{Name: "convert", Usage: "convert", Value: true},
					&cli.BoolFlag{Name: "secret", Hidden: true},
				},
			},
			{Name: "man", Hidden: true},
			{Name: "show", Usage: "show it"},
		},
	}
}

func TestManual(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := &Manual{Date: "2026-01-02", Sections: []Section{{Title: "FILES", Text: "Some."}}}
	if err := m.WriteTo(&out, sample()); err != nil {
		t.Fatal(err)
	}
	want := `.TH TOOL 1 2026-01-02 "containerd\-certsd 1.2"
.SH "NAME"
tool \-
do things
.SH "SYNOPSIS"
.B "tool"
[global options] COMMAND [options] [arguments]
.SH "GLOBAL OPTIONS"
.TP
\fB\-\-debug\fR
Say more.
.TP
\fB\-\-help\fR, \fB\-h\fR
Show what a command is for, its flags and examples.
.SH "COMMANDS"
.SS "tool pull"
Get \(gait\(ga.
.PP
.B "tool pull"
[options] REF
.PP
Also called p.
.PP
Gets it. All of it.
.PP
Examples:
.PP
.RS "4"
.EX
tool pull a \e
  \-\-b \(aqc\(aq

tool pull \-\- d
.EE
.RE
.PP
\&.rc is left alone.
.TP
\fB\-\-root\fR, \fB\-r\fR \fIDIR\fR
Look in DIR.
Default: /etc.
.TP
\fB\-\-on\fR \fISTATUS\fR
On STATUS.
Default: 403, 5xx.
It may be given several times.
.TP
\fB\-\-wait\fR \fITIME\fR
Wait TIME.
Default: 1h0m0s.
.TP
\fB\-\-convert\fR
Convert.
Default: true.
.SS "tool show"
Show it.
.PP
.B "tool show"
.SH "FILES"
Some.
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestComplete(t *testing.T) {
	t.Parallel()
	completer := &Completer{Root: sample(), Arguments: map[string]func(map[string]string) []string{
		"pull": func(flags map[string]string) []string {
			return []string{flags["root"] + "a.test:5000", flags["root"] + "b.test"}
		},
	}}
	for _, tt := range []struct {
		line string
		want []string
	}{
		{"", []string{"pull", "show"}},
		{"p", []string{"pull"}},
		{"-", []string{"--debug", "--help"}},
		{"--debug p", []string{"pull"}},
		{"pull ", []string{"a.test:5000", "b.test"}},
		{"p b", []string{"b.test"}},
		{"pull a.test:5", []string{"a.test:5000"}},
		{"pull --r", []string{"--root"}},
		{"pull --root ", nil},
		{"pull --root /x/ /x/", []string{"/x/a.test:5000", "/x/b.test"}},
		{"pull -r /x/ ", []string{"/x/a.test:5000", "/x/b.test"}},
		{"pull --root=/x/ ", []string{"/x/a.test:5000", "/x/b.test"}},
		{"pull --convert ", []string{"a.test:5000", "b.test"}},
		{"pull a.test:5000 ", nil},
		{"pull -- -", nil},
		{"pull -- b", []string{"b.test"}},
		{"show ", nil},
		{"ma", nil},
	} {
		var got []string
		for _, w := range completer.Complete(strings.Split(tt.line, " ")) {
			got = append(got, w.Text)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.line, diff)
		}
	}
	if got := completer.Complete(nil); len(got) != 2 {
		t.Errorf("no words at all: %v", got)
	}
}

func FuzzComplete(f *testing.F) {
	f.Add("pull --root /x ")
	f.Add("-- --root")
	f.Add("pull - -=")
	completer := &Completer{Root: sample()}
	f.Fuzz(func(t *testing.T, line string) {
		words := strings.Split(line, " ")
		for _, w := range completer.Complete(words) {
			if !strings.HasPrefix(w.Text, words[len(words)-1]) {
				t.Errorf("%q is completed to %q", line, w.Text)
			}
		}
	})
}

func TestScriptsAreForKnownShells(t *testing.T) {
	t.Parallel()
	for _, shell := range Shells {
		if script, err := Script(shell); err != nil || !strings.Contains(script, "completion words") {
			t.Errorf("%s: %v", shell, err)
		}
	}
	const want = `no completion for "../bash": there is one for bash, zsh, fish`
	if _, err := Script("../bash"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
