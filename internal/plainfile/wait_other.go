//go:build !unix

package plainfile

// noWait concerns named pipes, which the file system does not have here.
const noWait = 0
