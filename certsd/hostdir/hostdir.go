// Package hostdir reads the directories of certs.d and says what is configured
// for a registry. It makes no requests. The values it returns never change: once a
// file does, a [Hosts] returns another value.
//
// Read it in the order of a lookup:
//
//	hosts.go               a name, and what is known about it
//	resolve.go             which directories it has, with absence.go and listings.go
//	directory_cache.go     the content of each, kept until a file changes (disk.go, stat_*.go)
//	load.go                one directory: docker.go, hosts_file.go, files.go, pem_keys.go
//	build.go               a Host made of them: overlay.go, faults.go, system.go
//	reload.go, reuse.go    which values survive a change; hooks.go reports it
//	host.go, life.go       the result
//
// Beside that path stand problem.go, with what can be wrong and what to do, and
// inspect.go, examine.go, nearmiss.go and client_chain.go, which look for more than a
// lookup needs.
package hostdir
