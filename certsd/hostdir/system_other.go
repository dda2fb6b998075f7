//go:build !linux

package hostdir

// There are no files to read: the platform's verifier is asked, which sees
// changes by itself.
var systemFiles, systemDirs []string
