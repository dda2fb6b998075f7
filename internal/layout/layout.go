// Package layout has tests only: they hold that the packages of this module are
// documented, and that none imports one that it should not.
//
// doc_test.go and order_test.go read package comments, rooms_test.go docs/rooms.md and
// docs/architecture.md; deps_test.go and light_test.go look at imports, api_test.go at
// what is exported, lines_test.go at the modules for each release line of containerd.
package layout
