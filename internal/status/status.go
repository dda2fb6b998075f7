// Package status keeps what a daemon uses right now, and what it was told last:
// which directory and files each registry has, which client certificate was
// accepted for which repository, what servers answered, what is being downloaded.
// Everything that shows it reads the one [Status]: the commands, the page, the
// metrics.
//
// What is kept is bounded, and none of it is secret: no key, no query, no value of
// a header, and of a server's answers nothing but the status.
//
// Read status.go first, which is what the readers get. state.go keeps what hooks
// report, work.go what is under way; snapshot.go makes a Status of them, with
// in_use.go, describe.go, and needs.go and ends.go for what needs a person. table.go
// prints it, json.go reads that of another process.
package status

import "time"

// Schema is the version of the JSON. Fields are added without a new one.
const Schema = 1

// The kinds of daemons.
const (
	Plugin       = "plugin"
	Gateway      = "gateway"
	ImageService = "cri"
)

// Status is what a daemon uses.
type Status struct {
	Schema int `json:"schema"`
	// Daemon is [Plugin], [Gateway] or [ImageService].
	Daemon string `json:"daemon"`
	// Address is where it was asked; a daemon itself leaves it out.
	Address string `json:"address,omitempty"`
	Version string `json:"version"`
	// Containerd is the version of the containerd that the plugin is part of, or
	// the address of the one that images are pulled into.
	Containerd string `json:"containerd,omitempty"`
	// CRI says how Kubernetes pulls, as far as the daemon knows: [CRIUses],
	// [CRIItself], or empty.
	CRI string `json:"cri,omitempty"`
	// Since is when the daemon began, Now when it answered.
	Since time.Time `json:"since"`
	Now   time.Time `json:"now"`
	// Roots are the certs.d directories. Clients may have named others.
	Roots []string `json:"roots"`
	// Proxy is what the environment says, by variable, without user and password.
	Proxy map[string]string `json:"proxy,omitempty"`
	// Needs is what needs a person, worst first.
	Needs []Need `json:"needs"`
	// Registries are those that were looked up since the start, in order of their
	// names, Omitted how many of them are left out.
	Registries []Registry `json:"registries"`
	Omitted    int        `json:"omitted,omitempty"`
	// Idle are registries with a directory that nobody has asked for since the start.
	Idle []string `json:"idle,omitempty"`
	// Servers are all that were connected to, those of redirects and tokens too.
	Servers []Server `json:"servers"`
	// Resting are endpoints that could not be reached and are passed over for now.
	Resting []Resting `json:"resting,omitempty"`
	// Work is what is being downloaded or converted.
	Work []Work `json:"work,omitempty"`
	// Secret is about that of the gateway.
	Secret *Secret `json:"secret,omitempty"`
	// Store and Spool are what converted images and shared downloads take.
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
	// Registry is whom it is about, empty for the daemon itself.
	Registry string `json:"registry,omitempty"`
	// What is wrong, Next what to do.
	What string `json:"what"`
	Next string `json:"next,omitempty"`
}

// Registry is what is in use for one registry.
type Registry struct {
	Name string `json:"name"`
	// Directory is where it was found, empty if there is none.
	Directory string `json:"directory,omitempty"`
	// Fallback reports whether that is a _default directory.
	Fallback bool `json:"fallback,omitempty"`
	// Error is why nothing may be used.
	Error string `json:"error,omitempty"`
	// Memory is set where something that was read earlier is in use.
	Memory *Memory `json:"memory,omitempty"`
	// Endpoints are where it is asked, in order.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// Repositories are those asked for last.
	Repositories []Repository `json:"repositories,omitempty"`
}

// Memory is why files are not used as they are on the disk.
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
	// Directory is where its files are from, empty for none.
	Directory  string `json:"directory,omitempty"`
	SkipVerify bool   `json:"skip_verify,omitempty"`
	// Proxy leads to it, without user and password.
	Proxy string `json:"proxy,omitempty"`
	// CAs are the files of CA roots; none means the system's.
	CAs []CA `json:"cas,omitempty"`
	// Identities are the client certificates, in the order of their names.
	Identities []Identity `json:"identities,omitempty"`
}

// Certificate is what is shown of any.
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
	// Used reports whether the server was last verified by it.
	Used bool `json:"used,omitempty"`
}

// Identity is a client certificate.
type Identity struct {
	// Certificate is nil where the files hold none that can be used.
	*Certificate
	// Name is that of the certificate's file, File and Key are the files.
	Name string `json:"name"`
	File string `json:"file"`
	Key  string `json:"key,omitempty"`
	// Presented reports whether it is presented, Why says why not.
	Presented bool   `json:"presented"`
	Why       string `json:"why,omitempty"`
	// Answer is what the server answered to it last.
	Answer *Answer `json:"answer,omitempty"`
	// Accepted is when it was last accepted.
	Accepted *time.Time `json:"accepted,omitempty"`
}

// Answer is what came back from a server.
type Answer struct {
	// Result is the status, or as in the metrics "refused", "verify", "dial" or
	// "error".
	Result string    `json:"result"`
	At     time.Time `json:"at"`
}

// Repository is what was met last in one repository.
type Repository struct {
	Name string `json:"name"`
	// Host is the server that answered last.
	Host string `json:"host"`
	// Accepted is who was let in last, nil if nobody was.
	Accepted *Accepted `json:"accepted,omitempty"`
	// Refused is the last refusal, if nothing was let in since.
	Refused *Refused `json:"refused,omitempty"`
}

// Accepted is an identity that was accepted.
type Accepted struct {
	// Identity is the name of its file, empty if none was presented.
	Identity string    `json:"identity"`
	Serial   string    `json:"serial,omitempty"`
	At       time.Time `json:"at"`
}

// Refused is a request that was not let in.
type Refused struct {
	At time.Time `json:"at"`
	// Answers are what each identity got: "alpha.cert: 403".
	Answers []string `json:"answers"`
	// Result is the last one's.
	Result string `json:"result"`
}

// Server is a server that was connected to.
type Server struct {
	Host string `json:"host"`
	// Seen is when its certificate was last seen, nil where it never was.
	Seen        *time.Time   `json:"seen,omitempty"`
	Certificate *Certificate `json:"certificate,omitempty"`
	// CA is the root it was verified by.
	CA *Certificate `json:"ca,omitempty"`
	// Refusals are the requests that it let nobody in for, by result.
	Refusals map[string]int `json:"refusals,omitempty"`
}

// Resting is an endpoint that is passed over.
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
	// Digest is that of what is downloaded.
	Digest string `json:"digest,omitempty"`
	// Bytes have come of Total, zero if that is not known.
	Bytes int64 `json:"bytes"`
	Total int64 `json:"total,omitempty"`
	// Layers are done of a conversion, LayersBegun were begun.
	Layers      int `json:"layers,omitempty"`
	LayersBegun int `json:"layers_begun,omitempty"`
}

// Secret is about a gateway's secret, and nothing of it.
type Secret struct {
	// Changed is when it was last replaced, Open reports whether none is needed.
	Changed *time.Time `json:"changed,omitempty"`
	Open    bool       `json:"open,omitempty"`
}

// Usage is what something takes, in bytes. A limit of zero is no limit.
type Usage struct {
	Used  int64 `json:"used"`
	Limit int64 `json:"limit"`
}
