//go:build !unix

package plainfile

// noWait is for pipes, which have no names here.
const noWait = 0
