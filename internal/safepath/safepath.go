// Package safepath checks that nobody else can change where a path leads. The owner of
// a directory decides what its names refer to, now and a moment later: what root writes
// below another user's directory ends up where that user likes, and what root reads
// there is what that user chooses. So the directories that a path leads through, and
// what is at its end, must belong to the user of this process or to root, as ssh
// requires of its files.
//
// For such paths, names are as safe as descriptors. Where a directory must be another
// user's, [Open] keeps it open.
package safepath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Error reports a path that others can change.
type Error struct {
	// Path is the path that was checked, or a directory that it leads through.
	Path string
	// Reason says what is wrong with it, and what to do.
	Reason string
}

// Error names path, owner and next step.
func (e *Error) Error() string { return e.Path + " " + e.Reason }

// Own returns an error unless the file at a path, and all directories that it leads
// through, belong to the user of this process or to root and are not writable by
// everybody. It ignores what does not exist yet.
func Own(path string) error { return own(path, here()) }

// MkdirAll is os.MkdirAll for a path that passes [Own].
func MkdirAll(path string, perm fs.FileMode) error {
	if err := Own(path); err != nil {
		return err
	}
	if err := os.MkdirAll(path, perm); err != nil {
		return err
	}
	// In a sticky directory somebody else may have been faster.
	return Own(path)
}

// Tree is [Own] for a path and everything below it.
func Tree(path string) error { return tree(path, here(), 0) }

// trust are the users that may own a path.
type trust struct {
	euid int
	// owner is a further user, which may be root or euid again.
	owner uint32
	// unmapped is the owner shown for files of users outside of this user namespace;
	// namespace reports whether there may be any.
	unmapped  uint32
	namespace bool
}

func here() trust {
	t := trust{euid: os.Geteuid()}
	t.owner = uint32(t.euid) //nolint:gosec // an ID
	t.unmapped, t.namespace = unmapped()
	return t
}

// mayOwn reports whether a user is trusted. Directories on the way may also belong to
// users outside of the user namespace, who created it.
func (t trust) mayOwn(uid uint32, onTheWay bool) bool {
	return uid == 0 || int(uid) == t.euid || uid == t.owner || onTheWay && t.namespace && uid == t.unmapped
}

// maxLinks is how many links a path may contain, as in Linux.
const maxLinks = 40

// own resolves a path by itself: it looks each name up in a directory that only trusted
// users can change.
func own(path string, t trust) error {
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		path = dir + "/" + path // not cleaned: ".." is the parent of a link's target
	}
	at, todo, links := "/", strings.Split(path, "/"), 0
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == "" || name == "." {
			continue
		}
		next := filepath.Join(at, name) // for ".." the parent
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.check(next, info, len(todo) > 0); err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if links++; links > maxLinks {
			return &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return nil
}

// check checks owner and mode of one file.
func (t trust) check(path string, info fs.FileInfo, onTheWay bool) error {
	uid, ok := ownerOf(info)
	if !ok {
		return nil // a system without owners
	}
	mode := info.Mode()
	switch {
	case !t.mayOwn(uid, onTheWay):
		what := "belongs to"
		if mode&fs.ModeSymlink != 0 {
			what = "is a link of"
		}
		return &Error{path, fmt.Sprintf("%s %s, who can replace what is there, and this process runs as %s: "+
			"run it as that user or name another directory; chown -R it if everything in it can be trusted", what, Name(uid), Name(uint32(t.euid)))} //nolint:gosec // an ID
	case mode.IsDir() && mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0:
		return &Error{path, fmt.Sprintf("can be written by everybody (mode %#o), who can replace what is there: chmod go-w it, or name another directory", mode.Perm())}
	}
	return nil
}

// maxDepth bounds the depth of a tree, well above that of any here.
const maxDepth = 16

func tree(path string, t trust, depth int) error {
	if err := own(path, t); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return &Error{path, "has too many directories in each other"}
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone meanwhile
		case err != nil:
			return err
		case info.IsDir() || info.Mode()&fs.ModeSymlink != 0:
			err = tree(name, t, depth+1)
		default:
			err = t.check(name, info, false)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// ownerOf returns the user that a file belongs to, if the system has users.
func ownerOf(info fs.FileInfo) (uint32, bool) {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return sys.Uid, true
}

// Name describes a user for messages: root (uid 0).
func Name(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username + " (uid " + id + ")"
	}
	return "uid " + id
}

// unmapped returns the owner shown for files of users outside of the user namespace,
// such as those of the host's root in a rootless container.
func unmapped() (uid uint32, namespace bool) {
	table, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(table))
	if err != nil || len(fields) == 0 || len(fields) == 3 && fields[2] == "4294967295" {
		return 0, false
	}
	text, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil {
		return 0, false
	}
	id, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	return uint32(id), err == nil
}
