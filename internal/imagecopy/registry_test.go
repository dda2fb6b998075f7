package imagecopy_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// registry is a v2 registry behind client certificates that is as strict as the
// specification lets it be: blobs belong to one repository, and a manifest is
// refused until all it names is there.
type registry struct {
	Host             string
	servers, clients *certtest.CA

	mu    sync.Mutex
	repos map[string]*repo
	// requests are "METHOD path?query", in the order of arrival.
	requests []string
	// fail is asked about each request by its number, from one on. An answer
	// other than zero is a status, and cut ends the connection.
	fail func(n int, r *http.Request) int
	// allowed is the common name of the only client that is let in.
	allowed string
	// noReferrers switches the referrers API off.
	noReferrers bool
	// allReferrers, if set, refer to everything.
	allReferrers []ocispec.Descriptor
	// mount is the status for a request to mount what another repository has;
	// zero mounts it.
	mount int
	// password, if set, is wanted for the body of each upload, and not before.
	password string
	// creates makes a repository of a token to push there, and gives none for
	// what is not there. scopes are what tokens were asked for.
	creates bool
	scopes  []string
}

type repo struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]stored
	tags      map[string]digest.Digest
}

type stored struct {
	mediaType string
	body      []byte
}

// cut is the answer that is none.
const cut = -1

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{servers: certtest.NewCA("servers"), clients: certtest.NewCA("clients"), repos: map[string]*repo{}, allowed: "bravo"}
	server := httptest.NewUnstartedServer(r)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{r.servers.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequestClientCert,
		MinVersion:   tls.VersionTLS12,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	r.Host = strings.TrimPrefix(server.URL, "https://")
	return r
}

// dir makes the registry's directory below root, with a certificate that it
// refuses and then one that it takes.
func (r *registry) dir(t *testing.T, root string) {
	t.Helper()
	dir := filepath.Join(root, r.Host)
	ok(t, os.MkdirAll(dir, 0o750))
	ok(t, r.servers.Write(dir, "ca"))
	for _, name := range []string{"alpha", "bravo"} {
		ok(t, r.clients.Client(name).Write(dir, name))
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *registry) repo(name string) *repo {
	if r.repos[name] == nil {
		r.repos[name] = &repo{map[digest.Digest][]byte{}, map[digest.Digest]stored{}, map[string]digest.Digest{}}
	}
	return r.repos[name]
}

// setFail sets fail and begins to count.
func (r *registry) setFail(fail func(n int, r *http.Request) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.fail = nil, fail
}

// log returns what was asked since the last call, without what certificates
// were refused.
func (r *registry) log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.requests
	r.requests = nil
	return l
}

// count returns the number of requests with a method for paths that contain
// part.
func count(requests []string, method, part string) int {
	n := 0
	for _, line := range requests {
		if strings.HasPrefix(line, method+" ") && strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// ServeHTTP implements http.Handler.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if c := req.TLS.PeerCertificates; len(c) == 0 || c[0].Subject.CommonName != r.allowed {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.RequestURI())
	status := 0
	if r.fail != nil {
		status = r.fail(len(r.requests), req)
	}
	r.mu.Unlock()
	_, password, _ := req.BasicAuth()
	switch {
	case r.creates && !r.authorize(w, req):
		return
	case req.Method == http.MethodPut && password != r.password:
		w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	case status == cut:
		panic(http.ErrAbortHandler)
	case status != 0:
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "0")
		}
		w.WriteHeader(status)
		return
	}
	// Read before the lock is taken: a body may take its time.
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serve(w, req, body)
}

// authorize serves tokens, and wants them: "Bearer NAME" for a repository that
// is there.
func (r *registry) authorize(w http.ResponseWriter, req *http.Request) (done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Path == "/token" {
		for _, scope := range req.URL.Query()["scope"] {
			r.scopes = append(r.scopes, scope)
			if parts := strings.Split(scope, ":"); strings.Contains(parts[2], "push") {
				r.repo(parts[1])
			}
		}
		var names []string
		for name := range r.repos {
			names = append(names, name)
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": strings.Join(names, ",")})
		return false
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/v2/"), "/")
	if _, granted, _ := strings.Cut(req.Header.Get("Authorization"), " "); slices.Contains(strings.Split(granted, ","), name) {
		return true
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%s/token",service="r"`, r.Host))
	w.WriteHeader(http.StatusUnauthorized)
	return false
}

func (r *registry) serve(w http.ResponseWriter, req *http.Request, body []byte) {
	path := strings.TrimPrefix(req.URL.Path, "/v2/")
	if path == "" {
		return
	}
	for _, route := range []struct {
		part string
		do   func(http.ResponseWriter, *http.Request, string, string, []byte)
	}{
		{"/blobs/uploads/", r.uploads}, {"/blobs/", r.blobs}, {"/manifests/", r.manifests}, {"/tags/", r.tags}, {"/referrers/", r.referrers},
	} {
		if name, object, found := strings.Cut(path, route.part); found {
			route.do(w, req, name, object, body)
			return
		}
	}
	http.NotFound(w, req)
}

func (r *registry) uploads(w http.ResponseWriter, req *http.Request, name, _ string, body []byte) {
	query := req.URL.Query()
	switch req.Method {
	case http.MethodPost:
		d := digest.Digest(query.Get("mount"))
		data, found := r.repo(query.Get("from")).blobs[d]
		switch {
		case found && r.mount == 0:
			r.repo(name).blobs[d] = data
			w.WriteHeader(http.StatusCreated)
			return
		case found && r.mount != http.StatusAccepted:
			w.WriteHeader(r.mount)
			return
		}
		w.Header().Set("Location", "/v2/"+name+"/blobs/uploads/session")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		d := digest.Digest(query.Get("digest"))
		if digest.FromBytes(body) != d {
			http.Error(w, "digest invalid", http.StatusBadRequest)
			return
		}
		r.repo(name).blobs[d] = body
		w.Header().Set("Docker-Content-Digest", d.String())
		w.WriteHeader(http.StatusCreated)
	}
}

func (r *registry) blobs(w http.ResponseWriter, req *http.Request, name, object string, _ []byte) {
	data, found := r.repo(name).blobs[digest.Digest(object)]
	if !found {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data)
}

func (r *registry) manifests(w http.ResponseWriter, req *http.Request, name, object string, body []byte) {
	repo := r.repo(name)
	if req.Method == http.MethodPut {
		d := digest.FromBytes(body)
		if asked := digest.Digest(object); asked.Validate() == nil {
			d = asked.Algorithm().FromBytes(body)
		}
		if missing := repo.missing(body); missing != "" {
			http.Error(w, "unknown: "+missing, http.StatusBadRequest)
			return
		}
		repo.manifests[d] = stored{req.Header.Get("Content-Type"), body}
		if !strings.Contains(object, ":") {
			repo.tags[object] = d
		} else if object != d.String() {
			http.Error(w, "digest invalid", http.StatusBadRequest)
			return
		}
		w.Header().Set("Docker-Content-Digest", d.String())
		w.WriteHeader(http.StatusCreated)
		return
	}
	d := digest.Digest(object)
	if tagged, found := repo.tags[object]; found {
		d = tagged
	}
	m, found := repo.manifests[d]
	if !found {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", d.String())
	w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
	_, _ = w.Write(m.body)
}

// document is any manifest.
type document struct {
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
	Subject   *ocispec.Descriptor  `json:"subject"`
}

// missing names what a manifest names and the repository does not have.
func (r *repo) missing(body []byte) string {
	var doc document
	if err := json.Unmarshal(body, &doc); err != nil {
		return err.Error()
	}
	for _, m := range doc.Manifests {
		if _, found := r.manifests[m.Digest]; !found && strings.Contains(m.MediaType, "manifest") {
			return m.Digest.String()
		}
	}
	if doc.Config != nil {
		doc.Layers = append(doc.Layers, *doc.Config)
	}
	for _, l := range doc.Layers {
		if _, found := r.blobs[l.Digest]; !found && len(l.URLs) == 0 {
			return l.Digest.String()
		}
	}
	return ""
}

func (r *registry) tags(w http.ResponseWriter, req *http.Request, name, _ string, _ []byte) {
	repo, found := r.repos[name]
	if !found {
		http.NotFound(w, req)
		return
	}
	var tags []string
	for tag := range repo.tags {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	_ = json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": tags})
}

func (r *registry) referrers(w http.ResponseWriter, req *http.Request, name, object string, _ []byte) {
	if r.noReferrers {
		http.NotFound(w, req)
		return
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: r.allReferrers}
	for d, m := range r.repo(name).manifests {
		var doc document
		if json.Unmarshal(m.body, &doc) == nil && doc.Subject != nil && doc.Subject.Digest.String() == object {
			index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: m.mediaType, Digest: d, Size: int64(len(m.body))})
		}
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	_ = json.NewEncoder(w).Encode(index)
}

// whole tells what is missing of what a tag names, all the way down.
func (r *registry) whole(name, tag string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, found := r.repo(name).tags[tag]
	if !found {
		return fmt.Errorf("no tag %s", tag)
	}
	return r.repo(name).wholeManifest(d)
}

func (r *repo) wholeManifest(d digest.Digest) error {
	m, found := r.manifests[d]
	if !found {
		return fmt.Errorf("no manifest %s", d)
	}
	if missing := r.missing(m.body); missing != "" {
		return fmt.Errorf("%s lacks %s", d, missing)
	}
	var doc document
	if err := json.Unmarshal(m.body, &doc); err != nil {
		return err
	}
	for _, child := range doc.Manifests {
		if _, found := r.manifests[child.Digest]; !found {
			continue
		}
		if err := r.wholeManifest(child.Digest); err != nil {
			return err
		}
	}
	return nil
}

// tagged returns the tags of a repository with their digests.
func (r *registry) tagged(name string) map[string]digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.repo(name).tags)
}

// addBlob puts content into a repository.
func (r *registry) addBlob(name, mediaType string, data []byte) ocispec.Descriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(data)
	r.repo(name).blobs[d] = data
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

// addManifest puts a manifest into a repository, under a tag unless that is
// empty.
func (r *registry) addManifest(name, tag, mediaType string, doc any) ocispec.Descriptor {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(body)
	r.repo(name).manifests[d] = stored{mediaType, body}
	if tag != "" {
		r.repo(name).tags[tag] = d
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
}

// addImage puts an image of the given layers into a repository.
func (r *registry) addImage(name, tag string, layers ...string) ocispec.Descriptor {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	m.SchemaVersion = 2
	m.Config = r.addBlob(name, ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","author":%q}`, tag+strings.Join(layers, "")))
	for _, l := range layers {
		m.Layers = append(m.Layers, r.addBlob(name, ocispec.MediaTypeImageLayerGzip, layerData(l)))
	}
	return r.addManifest(name, tag, ocispec.MediaTypeImageManifest, m)
}

// layerData is some content, larger than what is held back.
func layerData(name string) []byte { return bytes.Repeat([]byte(name+"\n"), 300_000/(len(name)+1)) }

// addIndex puts an index of manifests into a repository.
func (r *registry) addIndex(name, tag string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}
	index.SchemaVersion = 2
	return r.addManifest(name, tag, ocispec.MediaTypeImageIndex, index)
}
