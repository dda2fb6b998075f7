// Package status keeps what a daemon uses right now and what it last learned: which
// directory and files each registry has, which client certificate was accepted for
// which repository, what servers answered, what is being downloaded. Everything that
// shows it reads a single [Status]: the commands, the page, the metrics.
//
// What is kept is bounded, and none of it is secret: no key, no query, no value of a
// header, and of a server's answers only the status.
//
// Read status.go first, which defines what the readers get. state.go keeps what hooks
// report, work.go what is under way; snapshot.go makes a Status of them, with
// in_use.go, describe.go, and needs.go and ends.go for what needs a person. table.go
// prints it, json.go reads that of another process.
package status

import "time"

// Schema is the version of the JSON. Adding fields does not change it.
const Schema = 1

// The kinds of daemons.
const (
	Plugin       = "plugin"
	Gateway      = "gateway"
	ImageService = "cri"
)

// Status is the status of a daemon.
type Status struct {
	Schema int `json:"schema"`
	// Daemon is [Plugin], [Gateway] or [ImageService].
	Daemon string `json:"daemon"`
	// Address is where it was asked; the daemon itself leaves it out.
	Address string `json:"address,omitempty"`
	Version string `json:"version"`
	// Containerd is the version of the containerd that the plugin is part of, or
	// the address of the one that images are pulled into.
	Containerd string `json:"containerd,omitempty"`
	// CRI says how Kubernetes pulls: [CRIUses], [CRIItself], or empty if unknown.
	CRI string `json:"cri,omitempty"`
	// Since is when the daemon started, Now when it answered.
	Since time.Time `json:"since"`
	Now   time.Time `json:"now"`
	// Roots are the certs.d directories. Clients may use others.
	Roots []string `json:"roots"`
	// Proxy holds the environment's proxies by variable, without user and password.
	Proxy map[string]string `json:"proxy,omitempty"`
	// Needs are the things that need a person, worst first.
	Needs []Need `json:"needs"`
	// Registries are those looked up since the start, sorted by name, Omitted how many
	// of them are left out.
	Registries []Registry `json:"registries"`
	Omitted    int        `json:"omitted,omitempty"`
	// Idle are registries with a directory that were not used since the start.
	Idle []string `json:"idle,omitempty"`
	// Servers are all servers that were connected to, including those of redirects and
	// tokens.
	Servers []Server `json:"servers"`
	// Resting are endpoints that could not be reached and are passed over for a while.
	Resting []Resting `json:"resting,omitempty"`
	// Work is what is being downloaded or converted.
	Work []Work `json:"work,omitempty"`
	// Secret describes the gateway's secret.
	Secret *Secret `json:"secret,omitempty"`
	// Store and Spool are the space used by converted images and shared downloads.
	Store *Usage `json:"store,omitempty"`
	Spool *Usage `json:"spool,omitempty"`
}

// The values of Status.CRI.
const (
	CRIUses   = "uses certsd"
	CRIItself = "pulls by itself"
)

// The kinds of [Need], for programs.
const (
	NeedCRI          = "cri-pulls-itself"
	NeedUnusable     = "unusable"
	NeedMemory       = "from-memory"
	NeedPair         = "pair-unusable"
	NeedExpired      = "identity-expired"
	NeedExpires      = "identity-expires"
	NeedServerEnds   = "server-expires"
	NeedCAEnds       = "ca-expires"
	NeedRefused      = "refused"
	NeedUnverified   = "server-unverified"
	NeedNoConnection = "unreachable"
	NeedAnswer       = "no-answer"
)

// Need is something that needs a person.
type Need struct {
	// Code is the kind.
	Code string `json:"code"`
	// Registry is the registry concerned, empty for the daemon itself.
	Registry string `json:"registry,omitempty"`
	// What says what is wrong, Next what to do.
	What string `json:"what"`
	Next string `json:"next,omitempty"`
}

// Registry is what is in use for one registry.
type Registry struct {
	Name string `json:"name"`
	// Directory is the directory in use, empty for none.
	Directory string `json:"directory,omitempty"`
	// Fallback reports whether that is a _default directory.
	Fallback bool `json:"fallback,omitempty"`
	// Error says why nothing may be used.
	Error string `json:"error,omitempty"`
	// Memory is set if earlier content is in use.
	Memory *Memory `json:"memory,omitempty"`
	// Endpoints are its endpoints, in the order in which they are tried.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Repositories are the most recently used ones.
	Repositories []Repository `json:"repositories,omitempty"`
}

// Memory says why earlier content is used instead of the files on the disk.
type Memory struct {
	Since time.Time `json:"since"`
	Cause string    `json:"cause"`
}

// Endpoint is one server for a registry's content.
type Endpoint struct {
	// URL is scheme, host and path.
	URL string `json:"url"`
	// Host is the host[:port], its key in Status.Servers.
	Host string `json:"host"`
	// Directory is the directory of its files, empty for none.
	Directory  string `json:"directory,omitempty"`
	SkipVerify bool   `json:"skip_verify,omitempty"`
	// Proxy is the proxy to it, without user and password.
	Proxy string `json:"proxy,omitempty"`
	// CAs are the configured CA roots; none means the system's.
	CAs []CA `json:"cas,omitempty"`
	// Identities are the client certificates, in order of presentation.
	Identities []Identity `json:"identities,omitempty"`
}

// Certificate is what is shown of a certificate.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// CA is one root of a file.
type CA struct {
	Certificate
	File string `json:"file"`
	// Used reports whether it verified the server last.
	Used bool `json:"used,omitempty"`
}

// Identity is a client certificate.
type Identity struct {
	// Certificate is nil if the files hold no usable one.
	*Certificate
	// Name is the base name of the certificate's file; File and Key are the files.
	Name string `json:"name"`
	File string `json:"file"`
	Key  string `json:"key,omitempty"`
	// Presented reports whether it is presented, Why says why not.
	Presented bool   `json:"presented"`
	Why       string `json:"why,omitempty"`
	// Answer is the server's last answer to it.
	Answer *Answer `json:"answer,omitempty"`
	// Accepted is when it was last accepted.
	Accepted *time.Time `json:"accepted,omitempty"`
}

// Answer is the answer of a server.
type Answer struct {
	// Result is the status, or as in the metrics "refused", "verify", "dial" or
	// "error".
	Result string    `json:"result"`
	At     time.Time `json:"at"`
}

// Repository is the last outcome in one repository.
type Repository struct {
	Name string `json:"name"`
	// Host is the server that answered last.
	Host string `json:"host"`
	// Accepted is the identity accepted last, nil for none.
	Accepted *Accepted `json:"accepted,omitempty"`
	// Refused is the last refusal, unless a request was accepted since.
	Refused *Refused `json:"refused,omitempty"`
}

// Accepted is an identity that was accepted.
type Accepted struct {
	// Identity is the name of its file, empty if none was presented.
	Identity string    `json:"identity"`
	Serial   string    `json:"serial,omitempty"`
	At       time.Time `json:"at"`
}

// Refused is a request that was refused.
type Refused struct {
	At time.Time `json:"at"`
	// Answers are the answers to each identity: "alpha.cert: 403".
	Answers []string `json:"answers"`
	// Result is the result of the last one.
	Result string `json:"result"`
}

// Server is a server that was connected to.
type Server struct {
	Host string `json:"host"`
	// Seen is when its certificate was last seen, nil if never.
	Seen        *time.Time   `json:"seen,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
	// CA is the root that verified it.
	CA *Certificate `json:"ca,omitempty"`
	// Refusals counts the requests that it refused with every identity, by result.
	Refusals map[string]int `json:"refusals,omitempty"`
}

// Resting is an endpoint that is passed over for a while.
type Resting struct {
	Endpoint string    `json:"endpoint"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until"`
	Cause    string    `json:"cause"`
}

// Work is a download or a conversion under way.
type Work struct {
	// Kind is [Download] or, for a conversion, its protocol.
	Kind  string    `json:"kind"`
	Ref   string    `json:"ref"`
	Since time.Time `json:"since"`
	// Digest is the digest of the download.
	Digest string `json:"digest,omitempty"`
	// Bytes is the number of bytes received of Total, which is zero if unknown.
	Bytes int64 `json:"bytes"`
	Total int64 `json:"total,omitempty"`
	// Layers is how many layers of a conversion are done, LayersBegun how many were
	// begun.
	Layers      int `json:"layers,omitempty"`
	LayersBegun int `json:"layers_begun,omitempty"`
}

// Secret describes a gateway's secret without revealing it.
type Secret struct {
	// Changed is when it was last replaced; Open reports whether none is required.
	Changed *time.Time `json:"changed,omitempty"`
	Open    bool       `json:"open,omitempty"`
}

// Usage is the space that something takes, in bytes. A limit of zero means no limit.
type Usage struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}
