// Package integration runs containerd with the plugin against real servers:
// nginx and Apache in front of docker-registry, ctr and CRI as clients. It has
// tests only, for Linux.
//
// Each scenario is a script in testdata. It runs on a machine of its own: a
// process in new network, mount and process namespaces, with names such as
// registry.test in its /etc/hosts, port 443 free, and /etc/containerd empty.
// So a script says what a person would type, scripts run side by side, and
// nothing of what they start outlives them. The README beside this file
// explains the commands that scripts may use.
//
// Read main_test.go first, which runs the scripts, then machine_test.go, their machine,
// and rig_test.go, the commands they may use. Those are in files of their names:
//
//	daemon_test.go         how servers are started and ended
//	registry_test.go       docker-registry, and the servers in front of it: front_test.go,
//	                       nginx_test.go, apache_test.go, gate_test.go
//	ca_test.go             certificates; image_test.go and v1tree_test.go make images
//	containerd_test.go     containerd; stock_test.go runs scripts with stock ones
//	client_test.go         small clients: docker_test.go, cri_*_test.go, run_test.go
//	hostile_*test.go       registries that attack; paged_test.go
//	log_test.go            what servers saw; alerts_test.go and grafana_test.go, what metrics say
//	bench_*test.go         benchmarks
package integration
