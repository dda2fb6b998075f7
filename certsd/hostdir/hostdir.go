// Package hostdir reads the directories of certs.d and says what is configured
// for a registry. It makes no request: what it yields never changes, and a
// [Hosts] gives another value once a file does.
//
// Read it in the order in which a lookup goes:
//
//	hosts.go               a name, and what is known about it
//	resolve.go             which directories there are for it, with absence.go and listings.go
//	directory_cache.go     the content of each, kept until a file changes (disk.go, stat_*.go)
//	load.go                one directory read: docker.go and hosts_file.go, files.go, pem_keys.go
//	build.go               a Host made of them: overlay.go, faults.go, system.go
//	reload.go, reuse.go    what stays the same value when something changed; hooks.go tells of it
//	host.go, life.go       what comes of it
//
// Beside that path stand problem.go with what may be wrong and what to do, and
// inspect.go, examine.go, nearmiss.go and client_chain.go, which look for more than a
// lookup has to know.
package hostdir
