package clidoc

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"
)

// Word is a possible next word of a command line.
type Word struct{ Text, Usage string }

// Completer completes command lines.
type Completer struct {
	Root *cli.Command
	// Arguments are the arguments to offer for a command, by its name, given the
	// values of the flags that precede, by their long names.
	Arguments map[string]func(flags map[string]string) []string
}

// Complete returns the words that the last of words may be completed to, in the order
// in which they are documented. words are those after the program's name; the last one
// is at the cursor and may be empty.
func (c *Completer) Complete(words []string) []Word {
	if len(words) == 0 {
		words = []string{""}
	}
	at := &position{command: c.Root, flags: map[string]string{}}
	for _, word := range words[:len(words)-1] {
		at.take(word)
	}
	current := words[len(words)-1]
	var candidates []Word
	switch {
	case at.value != "":
		// The possible values of a flag are not known here.
	case strings.HasPrefix(current, "-") && !at.noFlags:
		candidates = at.flagWords()
	default:
		candidates = c.arguments(at)
	}
	return slices.DeleteFunc(candidates, func(w Word) bool { return !strings.HasPrefix(w.Text, current) })
}

func (c *Completer) arguments(at *position) []Word {
	var words []Word
	if at.arguments == 0 && !at.noFlags {
		for _, sub := range Commands(at.command) {
			words = append(words, Word{sub.Name, sub.Usage})
		}
	}
	if find := c.Arguments[at.command.Name]; find != nil && at.arguments == 0 {
		for _, text := range find(at.flags) {
			words = append(words, Word{Text: text})
		}
	}
	return words
}

// position is the state of a command line at the cursor.
type position struct {
	command *cli.Command
	// flags are the values of the flags given so far, value the name of the flag whose
	// value comes next.
	flags map[string]string
	value string
	// arguments counts the command's arguments; noFlags reports whether there was a
	// "--".
	arguments int
	noFlags   bool
}

func (p *position) take(word string) {
	switch {
	case p.value != "":
		p.flags[p.value] = word
		p.value = ""
	case word == "--":
		p.noFlags = true
	case strings.HasPrefix(word, "-") && !p.noFlags:
		p.flag(strings.TrimLeft(word, "-"))
	default:
		if sub := p.command.Command(word); sub != nil && p.arguments == 0 && !p.noFlags {
			p.command = sub
			return
		}
		p.arguments++
	}
}

func (p *position) flag(word string) {
	name, value, given := strings.Cut(word, "=")
	for _, f := range Flags(p.command) {
		switch {
		case !slices.Contains(f.Names, name):
		case given:
			p.flags[f.Names[0]] = value
		case f.Value != "":
			p.value = f.Names[0]
		}
	}
}

func (p *position) flagWords() []Word {
	var words []Word
	for _, f := range append(Flags(p.command), help) {
		words = append(words, Word{dashed(f.Names[0]), f.Usage})
	}
	return words
}

//go:embed scripts
var scripts embed.FS

// Shells are the shells that [Script] supports.
var Shells = []string{"bash", "zsh", "fish"}

// Script returns the script with which a shell completes the command lines of certsd by
// calling "certsd completion words".
func Script(shell string) (string, error) {
	if !slices.Contains(Shells, shell) {
		return "", fmt.Errorf("no completion for %q: there is one for %s", shell, strings.Join(Shells, ", "))
	}
	script, err := scripts.ReadFile("scripts/" + shell)
	return string(script), err
}
