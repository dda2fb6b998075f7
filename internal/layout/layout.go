// Package layout has only tests: they check that the packages of this module are
// documented, and that none imports one that it should not.
//
// doc_test.go and order_test.go check package comments, rooms_test.go docs/rooms.md and
// docs/architecture.md; deps_test.go and light_test.go check imports, api_test.go
// exported names, lines_test.go the modules for each release line of containerd.
package layout
