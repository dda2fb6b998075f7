// Package quiet drops log lines that containerd's libraries write at each start and
// that nobody can do anything about.
package quiet

import (
	"slices"
	"strings"

	"github.com/containerd/log"
)

const (
	// FSVerity begins the warning of containerd's content store on a file system
	// without fs-verity, as most are. Blobs are verified with or without it.
	FSVerity = "failed check for fsverity support"
	// ConfigVersion begins the warning of containerd since 2.3 about a configuration of
	// version 3, the newest that 2.2 reads and hence the one in our documentation.
	// Warnings about older versions stay.
	ConfigVersion = "Configuration migrated from version 3,"
)

// Without drops entries that begin with one of the messages from containerd's log,
// until another formatter is set.
func Without(messages ...string) {
	l := log.L.Logger
	l.SetFormatter(formatter{next: l.Formatter, messages: messages})
}

// formatter drops some entries.
type formatter struct {
	next interface {
		Format(entry *log.Entry) ([]byte, error)
	}
	messages []string
}

// Format implements the formatter of containerd's logger.
func (f formatter) Format(entry *log.Entry) ([]byte, error) {
	if slices.ContainsFunc(f.messages, func(m string) bool { return strings.HasPrefix(entry.Message, m) }) {
		return nil, nil
	}
	return f.next.Format(entry)
}
