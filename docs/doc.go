// Package docs holds the documents to the code. It has tests only.
//
// Read docs_test.go first: links, keys, messages, packages. operations_test.go compares
// log lines, metrics and spans, security_test.go the promises and the tests that hold
// them, go_test.go compiles the programs that are shown. alerts_test.go and
// grafana_test.go try what Prometheus and Grafana are given, github_test.go the forms
// and workflows in .github, and scale_test.go the table of scale.md.
package docs
