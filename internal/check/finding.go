package check

import (
	"fmt"

	"github.com/certsd/containerd-certsd/certsd"
)

// Finding is something the user should know, and what to do about it.
type Finding struct {
	// Severity is "error" if it keeps a pull from working, else "warning": see
	// severity.go.
	Severity string `json:"severity"`
	// Code names the kind of finding; docs/check.md lists them.
	Code Code `json:"code"`
	// Where is the file, directory or host. A file may be followed by a colon and a
	// line.
	Where   string `json:"where"`
	Message string `json:"message"`
	// Next is what to do about it.
	Next string `json:"next,omitempty"`
}

// Code names a kind of finding and stays the same. The values of hostdir.ProblemCode
// are codes, too.
type Code string

// The codes that hostdir does not define.
const (
	NameUnknown         Code = "name-unknown"
	NoConnection        Code = "no-connection"
	ProxyFailed         Code = "proxy-failed"
	TLSFailed           Code = "tls-failed"
	NoTLS               Code = "no-tls"
	UnknownAuthority    Code = "unknown-authority"
	WrongName           Code = "wrong-name"
	ServerExpired       Code = "server-expired"
	ServerUnverified    Code = "server-unverified"
	NotVerified         Code = "not-verified"
	CertificateRequired Code = "certificate-required"
	CertificateRefused  Code = "certificate-refused"
	NotAsked            Code = "not-asked"
	AskedLate           Code = "asked-late"
	AllRefused          Code = "all-refused"
	CredentialsMissing  Code = "credentials-missing"
	CredentialsRefused  Code = "credentials-refused"
	CredentialsUnknown  Code = "credentials-unknown"
	CredentialsFile     Code = "credentials-file"
	TokenServer         Code = "token-server"
	OtherHostAsks       Code = "other-host-asks"
	ServerError         Code = "server-error"
	NoRegistry          Code = "no-registry"
	V1Only              Code = "v1-only"
	V1Forbidden         Code = "v1-forbidden"
	NotFound            Code = "not-found"
	TagMissing          Code = "tag-missing"
	PullFailed          Code = "pull-failed"
	PushRefused         Code = "push-refused"
	PushFailed          Code = "push-failed"
	UploadLeft          Code = "upload-left"
	NoDirectory         Code = "no-directory"
	NoPull              Code = "no-pull"
	KeyPermissions      Code = "key-permissions"
	KeyDoesNotSign      Code = "key-does-not-sign"
	ExpiresSoon         Code = "expires-soon"
	CAExpiresSoon       Code = "ca-expires-soon"
	ServerExpiresSoon   Code = "server-expires-soon"
	ContainerdConfig    Code = "containerd-config"
	StockTwoRoots       Code = "stock-two-roots"
	StockHostsFile      Code = "stock-hosts-toml"
	OtherRoots          Code = "other-roots"
	CertsdStaysOut      Code = "certsd-stays-out"
	DeprecatedKeys      Code = "deprecated-keys"
	CRIPullsItself      Code = "cri-pulls-itself"
	CRIDoesNotStart     Code = "cri-does-not-start"
	CopyStale           Code = "copy-stale"
	DockerConfig        Code = "docker-config"
	DockerInsecure      Code = "docker-insecure"
	DockerMirror        Code = "docker-mirror"
	PodmanDirectory     Code = "podman-directory"
	DaemonOtherFile     Code = "daemon-other-file"
	DaemonProxy         Code = "daemon-proxy"
	DaemonUnusable      Code = "daemon-unusable"
)

// ofProblem converts a problem of the configuration to a finding.
func ofProblem(p *certsd.Problem) Finding {
	f := Finding{Severity: p.Severity.String(), Code: Code(p.Code), Where: p.File, Message: p.Message(), Next: p.Next()}
	if p.Line > 0 {
		f.Where = fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	if p.Key != "" {
		f.Message = p.Key + ": " + f.Message
	}
	return f
}
