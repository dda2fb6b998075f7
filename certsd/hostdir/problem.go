package hostdir

import (
	"fmt"
	"strings"
)

// Severity says how a [Problem] affects its host.
type Severity uint8

const (
	// Warning leaves the host usable: the file is skipped.
	Warning Severity = iota
	// Failure keeps the host from being used.
	Failure
)

// String returns "warning" or "error".
func (s Severity) String() string {
	if s == Failure {
		return "error"
	}
	return "warning"
}

// Problem is something wrong in a host directory. Its text names the file and
// the cause, never a secret.
type Problem struct {
	Severity Severity
	// Code names the kind of problem.
	Code ProblemCode
	// File is the file or directory, Line the line in a hosts.toml, zero for none, and
	// Key the key there in TOML's dotted form.
	File string
	Line int
	Key  string
	// Meant is the name that an unread file was probably meant to have, empty if
	// unknown.
	Meant string
	// Err is the cause.
	Err error

	kind problemKind
	// next is the next step if neither Err nor Code implies it; message is the cause
	// without the next step if the text of Err cannot be used.
	next, message string
	// kept reports whether what was last read from the file stays in use.
	kept bool
}

// problemKind says which users of a directory a problem concerns.
type problemKind uint8

const (
	// ofDirectory concerns everything that uses the directory.
	ofDirectory problemKind = iota
	// ofHosts is about hosts.toml and concerns whatever uses that.
	ofHosts
	// ofFile is about a Docker file and concerns endpoints that use Docker files.
	ofFile
	// ofPair is ofFile for a client certificate, a failure only if none is usable.
	ofPair
)

// Where returns the file, followed by a colon and the line if there is one.
func (p *Problem) Where() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return p.File
}

// Error returns the text in one line: FILE:LINE: KEY: CAUSE.
func (p *Problem) Error() string { return p.with(p.Err.Error()) }

// Told returns the text with the next step, FILE: CAUSE: NEXT, unless the text already
// names a line to correct.
func (p *Problem) Told() string {
	next := p.Next()
	switch p.Code {
	case HostsFileKey, HostsFileSyntax, HostsFileValue:
		next = ""
	}
	if next == "" {
		return p.Error()
	}
	return p.with(p.Message()) + ": " + next
}

func (p *Problem) with(cause string) string {
	var b strings.Builder
	b.WriteString(p.Where() + ": ")
	if p.Key != "" {
		b.WriteString(p.Key)
		b.WriteString(": ")
	}
	b.WriteString(cause)
	return b.String()
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Kept reports whether what was last read from the file stays in use.
func (p *Problem) Kept() bool { return p.kept }

// as returns a copy of the problem with another severity.
func (p *Problem) as(s Severity) *Problem {
	q := *p
	q.Severity = s
	return &q
}

// toldFailures is failures with the next step for each.
func toldFailures(problems []*Problem) error {
	err := failures(problems)
	if err == nil {
		return nil
	}
	var errs several
	for _, p := range problems {
		if p.Severity == Failure {
			errs = append(errs, toldProblem{p})
		}
	}
	return errs
}

// toldProblem is a problem whose text includes the next step.
type toldProblem struct{ *Problem }

func (p toldProblem) Error() string { return p.Told() }
func (p toldProblem) Unwrap() error { return p.Problem }

// failures joins the problems that are failures, nil if there are none.
func failures(problems []*Problem) error {
	var errs []error
	for _, p := range problems {
		if p.Severity == Failure {
			errs = append(errs, p)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return several(errs)
}
