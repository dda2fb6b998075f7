//go:build !linux

package hostdir

// No files are read here: the platform's verifier sees changes by itself.
var systemFiles, systemDirs []string
