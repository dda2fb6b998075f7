// Package packaging tests the packages that "make check-packages" has built:
// what is in them, that two builds are the same, and what becomes of a machine
// on which they are installed, upgraded and removed. It has tests only, for Linux.
//
// Read packages_test.go first, what all formats have in common; then debian_test.go,
// rpm_test.go and apk_test.go. root_test.go makes a Debian to install into,
// booted_test.go boots it, and walk_test.go types on it what a document says.
// programs_test.go and image_test.go look at the archives and the container image,
// release_test.go makes a release.
package packaging
