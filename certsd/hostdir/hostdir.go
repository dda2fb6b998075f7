// Package hostdir reads the directories in certs.d and returns the configuration of a
// registry. It makes no requests. The values it returns never change: once a file
// changes, [Hosts] returns a new value.
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
// Off that path are problem.go, which describes what can be wrong and what to do, and
// inspect.go, examine.go, nearmiss.go and client_chain.go, which look for more than a
// lookup needs.
package hostdir
