package check

import (
	"slices"
)

// ledger collects the findings about one registry, each once.
type ledger struct {
	report *Registry
	// said has the findings so far, without severity and next step.
	said map[Finding]bool
	// log is called with each finding.
	log func(format string, args ...any)
}

// add adds a finding unless it is there already.
func (l *ledger) add(f Finding) {
	key := Finding{Code: f.Code, Where: f.Where, Message: f.Message}
	if !l.said[key] {
		l.said[key] = true
		l.log("%s %s %s: %s", f.Severity, f.Code, f.Where, f.Message)
		l.report.Findings = append(l.report.Findings, f)
	}
}

// has reports whether there is a finding with a code.
func (l *ledger) has(code Code) bool {
	return slices.ContainsFunc(l.report.Findings, func(f Finding) bool { return f.Code == code })
}

// failedAt reports whether there is an error with a code about a host.
func (l *ledger) failedAt(host string, code Code) bool {
	return slices.ContainsFunc(l.report.Findings, func(f Finding) bool {
		return f.Code == code && f.Where == host && f.Severity == isError
	})
}

// failedFor reports whether there is a finding with a code about a host, even a
// warning: another endpoint may do instead.
func (l *ledger) failedFor(host string, code Code) bool {
	return slices.ContainsFunc(l.report.Findings, func(f Finding) bool { return f.Code == code && f.Where == host })
}
