// Package imageref parses image references as people type them: as for Docker, busybox
// means docker.io/library/busybox:latest.
package imageref

import (
	"errors"
	"fmt"
	"path"
	"strings"

	containerd "github.com/containerd/containerd/v2/pkg/reference"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/certsd/hostname"

	// Digests of references are verified with these.
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// Ref is a complete image reference. The zero value is not valid.
type Ref struct {
	// Host is the registry, with its port if one was given.
	Host string
	// Repository is the name below the registry, such as library/busybox.
	Repository string
	// Tag may be empty if there is a digest.
	Tag string
	// Digest is empty unless it was given.
	Digest digest.Digest
}

// Parse parses what Docker's commands accept: [HOST[:PORT]/]NAME[:TAG][@DIGEST]. The
// default host is Docker Hub; without tag and digest the tag is latest. If both a tag
// and a digest are given, both are kept.
func Parse(s string) (Ref, error) {
	named, host, err := parse(s)
	if err != nil {
		return Ref{}, &Error{Text: s, Err: err}
	}
	named = reference.TagNameOnly(named)
	r := Ref{Host: host, Repository: reference.Path(named)}
	if t, ok := named.(reference.Tagged); ok {
		r.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		r.Digest = d.Digest()
	}
	if err := r.check(); err != nil {
		return Ref{}, &Error{Text: s, Err: err}
	}
	return r, nil
}

// stand replaces a host that Docker's grammar does not allow.
const stand = "registry.invalid"

// parse parses a reference by Docker's grammar, except that its host may have any
// spelling that directories and clients of containerd accept: with a trailing dot, or
// as an IPv4 address in IPv6.
func parse(s string) (named reference.Named, host string, err error) {
	if named, err = reference.ParseNormalizedNamed(s); err == nil {
		return named, reference.Domain(named), nil
	}
	host, rest, found := strings.Cut(s, "/")
	if _, no := hostname.Canonical(host); no != nil || !found || !strings.ContainsAny(host, ".:") {
		return nil, "", err
	}
	named, again := reference.ParseNormalizedNamed(stand + "/" + rest)
	if again != nil {
		return nil, "", err
	}
	return named, host, nil
}

// check rejects what containerd would not understand or would understand differently,
// such as a host that looks like an IPv6 address but is not one.
func (r Ref) check() error {
	spec, err := containerd.Parse(r.String())
	if err != nil || spec.Hostname() != r.Host || spec.String() != r.String() {
		return fmt.Errorf("%q is not a host", r.Host)
	}
	return nil
}

// ParseRepository parses a name without tag and digest, [HOST[:PORT]/]NAME, for
// commands that concern all tags.
func ParseRepository(s string) (Ref, error) {
	named, host, err := parse(s)
	if err != nil {
		return Ref{}, &Error{Text: s, Err: err}
	}
	if !reference.IsNameOnly(named) {
		return Ref{}, &Error{Text: s, Err: errNotOnlyName}
	}
	r := Ref{Host: host, Repository: reference.Path(named)}
	if err := r.check(); err != nil {
		return Ref{}, &Error{Text: s, Err: err}
	}
	return r, nil
}

var errNotOnlyName = errors.New("give a repository, without tag and digest")

// Name returns the repository with its registry: HOST/REPOSITORY.
func (r Ref) Name() string { return r.Host + "/" + r.Repository }

// Base returns the last element of the repository: busybox of library/busybox.
func (r Ref) Base() string { return path.Base(r.Repository) }

// String returns the full reference, as containerd's resolvers expect it.
func (r Ref) String() string {
	s := r.Name()
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest.String()
	}
	return s
}

// WithTag returns a reference to another tag in the same repository, without a digest.
func (r Ref) WithTag(tag string) Ref {
	return Ref{Host: r.Host, Repository: r.Repository, Tag: tag}
}

// WithDigest returns the same reference with a digest.
func (r Ref) WithDigest(d digest.Digest) Ref {
	r.Digest = d
	return r
}

// Error reports a text that is not an image reference.
type Error struct {
	// Text is what was given.
	Text string
	// Err says what is wrong with it.
	Err error
}

// Error returns the text, what is wrong with it and how to write it.
func (e *Error) Error() string {
	return fmt.Sprintf("%q is not an image reference: %s: %s", e.Text, cause(e.Err), e.hint())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// cause removes "invalid format" from a message that says why it is invalid.
func cause(err error) string {
	if why, ok := strings.CutPrefix(err.Error(), reference.ErrReferenceInvalidFormat.Error()+": "); ok {
		return why
	}
	return err.Error()
}

func (e *Error) hint() string {
	scheme, rest, ok := strings.Cut(e.Text, "://")
	switch {
	case ok && rest != "":
		return fmt.Sprintf("leave out %s://", scheme)
	case strings.ToLower(e.Text) != e.Text:
		return "repositories are in lower case, only hosts and tags may have capitals"
	case errors.Is(e.Err, errNotOnlyName):
		return "write [HOST[:PORT]/]NAME"
	default:
		return "write [HOST[:PORT]/]NAME[:TAG][@DIGEST]"
	}
}
