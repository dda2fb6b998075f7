package check

import (
	"time"
)

// Version is the version of the JSON that [WriteJSON] writes. It changes when
// a field changes its meaning or goes; new fields may come without that.
const Version = 1

// Report is what was found out about one registry or all.
type Report struct {
	Version int `json:"version"`
	// Verdict is that of [Report.Overall], which WriteJSON fills in.
	Verdict Verdict `json:"verdict"`
	// Expiring reports whether something ends within [Checker.Expiring].
	Expiring   bool        `json:"expiring,omitempty"`
	Registries []*Registry `json:"registries"`
	// Findings are those about no registry in particular.
	Findings []Finding `json:"findings"`
}

// Verdict says whether a pull would work.
type Verdict string

// The verdicts.
const (
	// Works: a pull would work.
	Works Verdict = "works"
	// Refused: the server or the network says no.
	Refused Verdict = "refused"
	// Unusable: nothing can be done with the configuration.
	Unusable Verdict = "unusable"
	// Unasked: the configuration is usable, and the server was not asked.
	Unasked Verdict = "unasked"
)

// Registry is what was found out about one registry.
type Registry struct {
	// Registry is the canonical name.
	Registry   string  `json:"registry"`
	Repository string  `json:"repository,omitempty"`
	Verdict    Verdict `json:"verdict"`
	// Reason is the verdict in words.
	Reason string `json:"reason"`
	// Ways are the verdicts for each way to pull. That of the registry is the
	// worst of those that are in use.
	Ways []Way `json:"ways"`
	// Directory is the one that counts, with an empty path if there is none.
	Directory string `json:"directory"`
	// Fallback reports whether it is a _default directory.
	Fallback bool `json:"fallback,omitempty"`
	// Roots and Directories are all that were looked at, in order.
	Roots       []Root      `json:"roots"`
	Directories []Directory `json:"directories"`
	// Endpoints are the servers to ask, in order.
	Endpoints []*Endpoint `json:"endpoints"`
	// Pull is the attempt to pull, if a repository was named.
	Pull *Pull `json:"pull,omitempty"`
	// Push is the attempt to begin a push, if that was asked for.
	Push     *Push     `json:"push,omitempty"`
	Findings []Finding `json:"findings"`
	// Expiring reports whether something ends within [Checker.Expiring].
	Expiring bool `json:"expiring,omitempty"`
}

// Root is a certs.d directory.
type Root struct {
	Path string `json:"path"`
	// State is "searched", "absent" or "unreadable".
	State string `json:"state"`
}

// Directory is a host directory that was looked for.
type Directory struct {
	Path string `json:"path"`
	// For is the host it is named after, empty for _default.
	For string `json:"for,omitempty"`
	// State is "used", "unused", "empty", "absent" or "unreadable".
	State string `json:"state"`
	// Why says why it counts or does not.
	Why   string `json:"why"`
	Files []File `json:"files"`
}

// File is a file of a host directory.
type File struct {
	Path string `json:"path"`
	// Kind is "CA roots", "client certificate", "private key", "hosts.toml" or
	// "not read".
	Kind string `json:"kind"`
	// Mode are the permissions, such as "0644".
	Mode string `json:"mode,omitempty"`
	// Certificates are those in the file; of a client certificate the first is
	// its own.
	Certificates []Certificate `json:"certificates"`
	// Key is the type of the private key in the file, such as "ECDSA P-256",
	// "encrypted" or "unreadable".
	Key string `json:"key,omitempty"`
	// KeyFile is the file with the key of a client certificate, and KeyMatches
	// whether it belongs to it; nil where the key cannot be read.
	KeyFile    string `json:"key_file,omitempty"`
	KeyMatches *bool  `json:"key_matches,omitempty"`
	// KeyDevice is where the key of a client certificate is that is no file, and
	// KeySigns whether it signs.
	KeyDevice string `json:"key_device,omitempty"`
	KeySigns  *bool  `json:"key_signs,omitempty"`
	Error     string `json:"error,omitempty"`
}

// Certificate is an X.509 certificate.
type Certificate struct {
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	// Names are the subject alternative names.
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// Validity is that in words: "expires in 3 days".
	Validity string `json:"validity"`
	// KeyType is the type of its key: "RSA 2048".
	KeyType string `json:"key_type"`
}

// Endpoint is a server to ask, as it is configured and as it answers.
type Endpoint struct {
	URL          string   `json:"url"`
	Capabilities []string `json:"capabilities"`
	// Directory is where the TLS settings are from.
	Directory string `json:"directory,omitempty"`
	// CAMode says in words which CA roots count, CAs are the files.
	CAMode     string   `json:"ca_mode"`
	CAs        []string `json:"cas"`
	Identities []string `json:"identities"`
	SkipVerify bool     `json:"skip_verify,omitempty"`
	// Proxy is what hosts.toml says about the way to it, without user and
	// password; "none" means no proxy, empty the environment's.
	Proxy string `json:"proxy,omitempty"`
	// Headers are the names of the configured header fields. Values may be
	// secret.
	Headers []string `json:"headers"`
	// Credentials are where those for it are that nobody sends along.
	Credentials []Login `json:"credentials"`
	Live        *Live   `json:"live,omitempty"`
}

// Live is what a server showed.
type Live struct {
	// Proxy is the proxy on the way, without user and password.
	Proxy string `json:"proxy,omitempty"`
	// Addresses are what DNS said: of the proxy, if there is one.
	Addresses []string `json:"addresses"`
	// Connected is the address that took the connection.
	Connected string `json:"connected,omitempty"`
	TLS       *TLS   `json:"tls,omitempty"`
	// PlainHTTP reports whether the server speaks no TLS, where that is allowed.
	PlainHTTP bool `json:"plain_http,omitempty"`
	// Error is why no connection came about.
	Error string `json:"error,omitempty"`
	// Answers are those to each identity, and to none.
	Answers []Answer `json:"answers"`
	// Identity is the one a pull would begin with, empty if none is presented,
	// Status what the server
	// answered to it at last.
	Identity string `json:"identity,omitempty"`
	Status   int    `json:"status,omitempty"`
	// Protocol is "v2" or "v1", empty if unknown.
	Protocol string `json:"protocol,omitempty"`
}

// TLS is a TLS handshake.
type TLS struct {
	Version string `json:"version,omitempty"`
	Cipher  string `json:"cipher,omitempty"`
	// Chain is what the server sent.
	Chain []Certificate `json:"chain"`
	// Verified reports whether it was accepted, Error why it was not.
	Verified bool   `json:"verified"`
	Error    string `json:"error,omitempty"`
	// Asked reports whether the server asked for a client certificate, AcceptableCAs
	// those it says it accepts; a server may name none.
	Asked         bool     `json:"asked"`
	AcceptableCAs []string `json:"acceptable_cas"`
}

// Answer is what a server made of one identity.
type Answer struct {
	// Identity is the certificate's file name, empty for none.
	Identity string `json:"identity"`
	// Offered reports whether the certificate was presented.
	Offered bool `json:"offered"`
	// V2 is the answer to /v2/. V1 is that to /v1/_ping, which is not asked
	// where the registry is not to be spoken to in v1, or under another path.
	V2 Reply  `json:"v2"`
	V1 *Reply `json:"v1_ping,omitempty"`
}

// Reply is the answer to a request.
type Reply struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	// Identity is the certificate that was presented or passed over, empty for
	// none.
	Identity string `json:"identity,omitempty"`
	Status   int    `json:"status,omitempty"`
	// Words says what it means.
	Words string `json:"words"`
	// Answer is what the body said, in a line.
	Answer string `json:"answer,omitempty"`
	// Alert is the TLS alert with which the server refused.
	Alert int `json:"alert,omitempty"`
}

// Pull is an attempt to pull.
type Pull struct {
	Reference string `json:"reference"`
	// Identity is the certificate that was accepted, empty for none.
	Identity string `json:"identity,omitempty"`
	Digest   string `json:"digest,omitempty"`
	// Requests are those made, in order.
	Requests []Reply `json:"requests"`
	Error    string  `json:"error,omitempty"`
}

// Push is an attempt to begin a push.
type Push struct {
	// Reference is the repository.
	Reference string `json:"reference"`
	// Identity is the certificate that was accepted, empty for none.
	Identity string `json:"identity,omitempty"`
	// Requests are those made, in order.
	Requests []Reply `json:"requests,omitempty"`
	Error    string  `json:"error,omitempty"`
}
