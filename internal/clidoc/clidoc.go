// Package clidoc makes the manual page (manual.go) and the shell completion
// (complete.go) from a tree of commands. They agree with --help, because they are made
// from the same texts.
//
// github.com/urfave/cli-docs/v3 does not suffice for the manual page: version 3.2.0
// leaves out a command's description with its examples, and its arguments. It sorts the
// flags, calls every value "", has no place for sections such as FILES, and uses fonts
// that mandoc does not know.
package clidoc

import (
	"regexp"
	"strings"

	"github.com/urfave/cli/v3"
)

// Commands returns the subcommands of c that are shown, in their order, without the
// "help" that each command gets.
func Commands(c *cli.Command) []*cli.Command {
	var visible []*cli.Command
	for _, sub := range c.Commands {
		if !sub.Hidden && sub.Name != "help" {
			visible = append(visible, sub)
		}
	}
	return visible
}

// Flag is one flag as it is documented.
type Flag struct {
	// Names are its names, the long one first, without dashes.
	Names []string
	// Value is the placeholder of its value, empty for a flag without one.
	Value string
	// Usage says what it does, Default its value if not given, empty if not worth
	// mentioning.
	Usage, Default string
	// Repeated reports whether it may be given several times.
	Repeated bool
}

// Flags returns the flags of c that are shown, in their order, without the --help
// that each command gets.
func Flags(c *cli.Command) []Flag {
	var flags []Flag
	for _, f := range c.Flags {
		if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
			continue
		}
		if flag := describe(f); flag.Names[0] != "help" {
			flags = append(flags, flag)
		}
	}
	return flags
}

// placeholder matches the name of the value in a usage text.
var placeholder = regexp.MustCompile("`([^`]+)`")

func describe(f cli.Flag) Flag {
	flag := Flag{Names: f.Names()}
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return flag
	}
	flag.Usage = placeholder.ReplaceAllString(doc.GetUsage(), "$1")
	if b, ok := f.(*cli.BoolFlag); ok && b.Value && !strings.Contains(flag.Usage, "(default: ") {
		flag.Default = "true"
	}
	if doc.TakesValue() {
		flag.Value = "VALUE"
		if m := placeholder.FindStringSubmatch(doc.GetUsage()); m != nil {
			flag.Value = m[1]
		}
		flag.Default = defaultOf(doc)
	}
	if many, ok := f.(cli.DocGenerationMultiValueFlag); ok {
		flag.Repeated = many.IsMultiValueFlag()
	}
	return flag
}

// defaultOf returns the default, unless the usage text mentions it.
func defaultOf(doc cli.DocGenerationFlag) string {
	if !doc.IsDefaultVisible() || strings.Contains(doc.GetUsage(), "(default: ") {
		return ""
	}
	// The text for --help exists only once the command line was parsed.
	text := doc.GetValue()
	if list, ok := strings.CutPrefix(text, "["); ok {
		text = strings.Join(strings.Fields(strings.TrimSuffix(list, "]")), ", ")
	}
	// Whether it is quoted also depends on that.
	return strings.ReplaceAll(strings.ReplaceAll(text, ",,", ","), `"`, "")
}
