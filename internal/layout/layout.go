// Package layout holds no code: its tests keep the packages of this module
// documented, and keep them from depending on each other the wrong way.
package layout
