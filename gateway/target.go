package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/certsd/hostname"
)

// kind is the kind of object that a path of the distribution API names.
type kind int

const (
	kindBase kind = iota
	kindManifest
	kindBlob
	kindTags
	kindReferrers
)

// target is what a request asks for. All of it is validated, and safe in URLs, file
// names and references.
type target struct {
	kind kind
	// host is the registry's canonical name.
	host string
	// repository is its name in the registry, pathName its name in the path.
	repository, pathName string
	// tag or digest is set for manifests, digest for blobs and referrers.
	tag    string
	digest digest.Digest
	query  url.Values
	// via are the gateways and proxies that passed the request on, by its own account.
	via string
	// login is what the client sent for the registry, nil if nothing.
	login *login
}

// ref returns the repository's reference, for a resolver.
func (t *target) ref() string { return t.host + "/" + t.repository }

// named returns the reference of the object.
func (t *target) named() string {
	switch {
	case t.digest != "":
		return t.ref() + "@" + t.digest.String()
	case t.tag != "":
		return t.ref() + ":" + t.tag
	default:
		return t.ref()
	}
}

// The grammar of the distribution specification, "Pulling manifests".
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// maxName is the longest name of a repository with its registry that clients may use,
// by the distribution specification.
const maxName = 255

// parseTarget parses the path and the query of a request.
func parseTarget(u *url.URL) (*target, error) {
	// In names, tags and digests only a colon needs encoding. An encoded slash or dot
	// only serves to be read differently by the next server.
	if raw := strings.ToLower(u.RawPath); strings.Contains(raw, "%2f") || strings.Contains(raw, "%2e") || strings.Contains(raw, "%5c") {
		return nil, invalidName("the path has an encoded slash or dot")
	}
	rest, ok := strings.CutPrefix(u.Path, "/v2")
	if !ok || rest != "" && rest[0] != '/' {
		return nil, errUnknownPath
	}
	if rest = strings.TrimPrefix(rest, "/"); rest == "" {
		return &target{kind: kindBase}, nil
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, &fault{status: http.StatusBadRequest, code: codeUnsupported, message: "the query cannot be read"}
	}
	t := &target{query: query}
	name, err := t.parsePath(rest)
	if err != nil {
		return nil, err
	}
	return t, t.parseName(name)
}

// parsePath parses the end of the path and returns the name before it.
func (t *target) parsePath(rest string) (name string, err error) {
	parts := strings.Split(rest, "/")
	n := len(parts)
	if n < 3 {
		return "", errUnknownPath
	}
	object := parts[n-1]
	switch parts[n-2] {
	case "manifests":
		t.kind = kindManifest
		if strings.Contains(object, ":") {
			err = t.parseDigest(object)
		} else if t.tag = object; !tagName.MatchString(object) {
			err = &fault{status: http.StatusNotFound, code: codeManifestUnknown, message: fmt.Sprintf("%.200q is not a tag", object)}
		}
	case "blobs":
		t.kind = kindBlob
		err = t.parseDigest(object)
	case "referrers":
		t.kind = kindReferrers
		err = t.parseDigest(object)
	case "tags":
		if t.kind = kindTags; object != "list" {
			err = errUnknownPath
		}
	default:
		err = errUnknownPath
	}
	return strings.Join(parts[:n-2], "/"), err
}

// isEmpty reports whether the digest is that of empty content.
func (t *target) isEmpty() bool {
	return t.digest != "" && t.digest.Algorithm().FromBytes(nil) == t.digest
}

// key identifies requests that can share their work. One that came through other
// gateways shares nothing with one that did not, since each might wait for the other;
// nor do requests with different credentials.
func (t *target) key() string { return t.named() + " " + t.via + t.login.suffix() }

// repositoryKey identifies the repository together with the login.
func (t *target) repositoryKey() string { return t.ref() + t.login.suffix() }

func (t *target) parseDigest(s string) error {
	d, err := digest.Parse(s)
	if err != nil {
		return &fault{status: http.StatusBadRequest, code: codeDigestInvalid, message: fmt.Sprintf("%.200q is not a digest: %v", s, err)}
	}
	t.digest = d
	return nil
}

// parseName splits a name into registry and repository. If the query names the
// registry, as containerd's do, the path is just the repository.
func (t *target) parseName(name string) error {
	t.pathName = name
	host, repository := "", name
	if ns, ok := t.query["ns"]; ok {
		if len(ns) != 1 {
			return invalidName("ns is given more than once")
		}
		host = ns[0]
	} else {
		first, rest, _ := strings.Cut(name, "/")
		if !looksLikeHost(withPort(first)) {
			return &fault{
				status: http.StatusNotFound, code: codeNameUnknown,
				message: fmt.Sprintf("%.200q does not say which registry it is in: begin with it, as in /v2/registry.example/%.200s, or add ?ns=registry.example", name, name),
			}
		}
		host, repository = withPort(first), rest
	}
	canonical, err := hostname.Canonical(host)
	if err != nil {
		return invalidName(fmt.Sprintf("no registry: %v", err))
	}
	if len(canonical)+1+len(repository) > maxName || !repositoryName.MatchString(repository) {
		return invalidName(fmt.Sprintf("%.300q is not a repository", repository))
	}
	t.host, t.repository = canonical, repository
	return nil
}

// looksLikeHost applies Docker's rule for the first element of a reference.
func looksLikeHost(s string) bool {
	return strings.ContainsAny(s, ".:") || s == "localhost" || strings.HasPrefix(s, "localhost_")
}

// underscorePort matches a host and port in a path, "registry.example_5000": a
// reference cannot have a colon after its first slash.
var underscorePort = regexp.MustCompile(`^([^_:]+)_(0*[0-9]{1,5})$`)

func withPort(s string) string {
	if m := underscorePort.FindStringSubmatch(s); m != nil {
		return m[1] + ":" + m[2]
	}
	return s
}

func invalidName(message string) *fault {
	return &fault{status: http.StatusBadRequest, code: codeNameInvalid, message: message}
}
