// Package quiet drops lines from the log that containerd's libraries write at
// each start, and that nobody can do anything about.
package quiet

import (
	"slices"
	"strings"

	"github.com/containerd/log"
)

const (
	// FSVerity is what containerd's content store warns of where it is opened on a
	// file system without fs-verity, as most are. Blobs are verified with or
	// without.
	FSVerity = "failed check for fsverity support"
	// ConfigVersion is what containerd since 2.3 warns of where the configuration
	// is of version 3, the newest that 2.2 reads and so the one of our documents.
	// What an older one could do better is still told.
	ConfigVersion = "Configuration migrated from version 3,"
)

// Without leaves out of containerd's log what begins with one of the messages,
// until somebody sets another format.
func Without(messages ...string) {
	l := log.L.Logger
	l.SetFormatter(formatter{next: l.Formatter, messages: messages})
}

// formatter makes nothing of some entries.
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
