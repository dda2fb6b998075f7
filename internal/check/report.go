package check

import (
	"time"
)

// Version is the version of the JSON that [WriteJSON] writes. It changes when a field
// is removed or changes its meaning, not when fields are added.
const Version = 1

// Report is the result of checking one registry or all.
type Report struct {
	Version int `json:"version"`
	// Verdict is the result of [Report.Overall], which WriteJSON fills in.
	Verdict Verdict `json:"verdict"`
	// Expiring reports whether something ends within [Checker.Expiring].
	Expiring   bool        `json:"expiring,omitempty"`
	Registries []*Registry `json:"registries"`
	// Findings are about no registry in particular.
	Findings []Finding `json:"findings"`
}

// Verdict says whether a pull would work.
type Verdict string

// The verdicts.
const (
	// Works: a pull would work.
	Works Verdict = "works"
	// Refused: the server or the network refuses.
	Refused Verdict = "refused"
	// Unusable: the configuration cannot be used.
	Unusable Verdict = "unusable"
	// Unasked: the configuration can be used, but the server was not asked.
	Unasked Verdict = "unasked"
)

// Registry is the result of checking one registry.
type Registry struct {
	// Registry is the canonical name.
	Registry   string  `json:"registry"`
	Repository string  `json:"repository,omitempty"`
	Verdict    Verdict `json:"verdict"`
	// Reason is the verdict in words.
	Reason string `json:"reason"`
	// Ways are the verdicts for each way to pull. The registry has the worst of those
	// in use.
	Ways []Way `json:"ways"`
	// Directory is the one in use, empty if there is none.
	Directory string `json:"directory"`
	// Fallback reports whether it is a _default directory.
	Fallback bool `json:"fallback,omitempty"`
	// Roots and Directories are all that were considered, in order.
	Roots       []Root      `json:"roots"`
	Directories []Directory `json:"directories"`
	// Endpoints are the servers, in the order of asking.
	Endpoints []*Endpoint `json:"endpoints"`
	// Pull is the attempt to pull, if a repository was named.
	Pull *Pull `json:"pull,omitempty"`
	// Push is the attempt to begin a push, if requested.
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
	// Why explains the state.
	Why   string `json:"why"`
	Files []File `json:"files"`
}

// File is a file of a host directory.
type File struct {
	Path string `json:"path"`
	// Kind is "CA roots", "client certificate", "private key", "hosts.toml" or
	// "not read".
	Kind string `json:"kind"`
	// Mode is the file's permissions, such as "0644".
	Mode string `json:"mode,omitempty"`
	// Certificates are those in the file. The first of a client certificate is the
	// leaf.
	Certificates []Certificate `json:"certificates"`
	// Key is the type of the private key in the file, such as "ECDSA P-256",
	// "encrypted" or "unreadable".
	Key string `json:"key,omitempty"`
	// KeyFile is the key file of a client certificate, KeyMatches whether the two
	// belong together; nil if the key cannot be read.
	KeyFile    string `json:"key_file,omitempty"`
	KeyMatches *bool  `json:"key_matches,omitempty"`
	// KeyDevice is the device with the key of a client certificate, if it is no file,
	// and KeySigns whether it signs.
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
	// Validity is the period in words: "expires in 3 days".
	Validity string `json:"validity"`
	// KeyType is the type of its key: "RSA 2048".
	KeyType string `json:"key_type"`
}

// Endpoint is a server to ask: how it is configured and how it answers.
type Endpoint struct {
	URL          string   `json:"url"`
	Capabilities []string `json:"capabilities"`
	// Directory is where the TLS settings come from.
	Directory string `json:"directory,omitempty"`
	// CAMode says in words which CA roots apply; CAs are the files.
	CAMode     string   `json:"ca_mode"`
	CAs        []string `json:"cas"`
	Identities []string `json:"identities"`
	SkipVerify bool     `json:"skip_verify,omitempty"`
	// Proxy is the proxy that hosts.toml sets, without user and password; "none" means
	// no proxy, empty the environment's.
	Proxy string `json:"proxy,omitempty"`
	// Headers are the names of the configured header fields. Values may be
	// secret.
	Headers []string `json:"headers"`
	// Credentials says where its credentials come from if a request brings none.
	Credentials []Login `json:"credentials"`
	Live        *Live   `json:"live,omitempty"`
}

// Live is what a server showed when it was asked.
type Live struct {
	// Proxy is the proxy used, without user and password.
	Proxy string `json:"proxy,omitempty"`
	// Addresses are the DNS result: the proxy's, if there is one.
	Addresses []string `json:"addresses"`
	// Connected is the address that accepted the connection.
	Connected string `json:"connected,omitempty"`
	TLS       *TLS   `json:"tls,omitempty"`
	// PlainHTTP reports whether the server speaks plain HTTP, where that is allowed.
	PlainHTTP bool `json:"plain_http,omitempty"`
	// Error is why the connection failed.
	Error string `json:"error,omitempty"`
	// Answers has one for each identity, and one without a certificate.
	Answers []Answer `json:"answers"`
	// Identity is the one a pull would begin with, empty for none, Status the server's
	// last answer to it.
	Identity string `json:"identity,omitempty"`
	Status   int    `json:"status,omitempty"`
	// Protocol is "v2" or "v1", empty if unknown.
	Protocol string `json:"protocol,omitempty"`
}

// TLS is a TLS handshake.
type TLS struct {
	Version string `json:"version,omitempty"`
	Cipher  string `json:"cipher,omitempty"`
	// Chain is the certificates that the server sent.
	Chain []Certificate `json:"chain"`
	// Verified reports whether the chain was accepted, Error why it was not.
	Verified bool   `json:"verified"`
	Error    string `json:"error,omitempty"`
	// Asked reports whether the server asked for a client certificate, AcceptableCAs
	// which CAs it named, if any.
	Asked         bool     `json:"asked"`
	AcceptableCAs []string `json:"acceptable_cas"`
}

// Answer is how a server answered one identity.
type Answer struct {
	// Identity is the certificate's file name, empty for none.
	Identity string `json:"identity"`
	// Offered reports whether the certificate was presented.
	Offered bool `json:"offered"`
	// V2 is the answer to /v2/, V1 the one to /v1/_ping, nil if that was not asked.
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
	// Words explains the answer.
	Words string `json:"words"`
	// Answer is the message in the body, on one line.
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
