package check

import (
	"cmp"
	"slices"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

const (
	isError   = "error"
	isWarning = "warning"
	// asReported keeps the severity of a directory's problem, which depends on whether
	// the host can still be used: see [hostdir.Problem.Severity].
	asReported = ""
)

// severities are the defaults of all findings. A finding about an endpoint is a warning
// if another endpoint follows ([dossier.findAt]), and so is any after a successful pull
// ([ledger.softenAll]).
var severities = map[Code]string{
	// The directories.
	Code(hostdir.RootUnreadable):        asReported, // fatal with --all
	Code(hostdir.RootName):              isWarning,
	Code(hostdir.DirectoryUnreadable):   isError,
	Code(hostdir.DirectoryTooLarge):     isError,
	Code(hostdir.DirectoryName):         isWarning,
	Code(hostdir.DirectoryTwice):        isWarning,
	Code(hostdir.DirectorySuffix):       isWarning,
	Code(hostdir.DirectoryPort):         isWarning,
	Code(hostdir.FileUnreadable):        asReported,
	Code(hostdir.FileName):              isWarning,
	Code(hostdir.WrongSuffix):           asReported,
	Code(hostdir.CAWithKey):             asReported,
	Code(hostdir.CAUnusable):            asReported,
	Code(hostdir.CAPartlyUnusable):      isWarning,
	Code(hostdir.KeyMissing):            asReported,
	Code(hostdir.CertificateMissing):    asReported,
	Code(hostdir.KeyMismatch):           asReported,
	Code(hostdir.KeyEncrypted):          asReported,
	Code(hostdir.PairUnusable):          asReported,
	Code(hostdir.PairPartlyUnusable):    isWarning,
	Code(hostdir.Expired):               isWarning,
	Code(hostdir.NotYetValid):           isWarning,
	Code(hostdir.NotForClients):         isWarning,
	Code(hostdir.IssuerNotListed):       isWarning,
	Code(hostdir.IntermediateMissing):   isWarning,
	Code(hostdir.HostsFileSyntax):       isError,
	Code(hostdir.HostsFileKey):          asReported,
	Code(hostdir.HostsFileValue):        asReported,
	Code(hostdir.HostsFileNoEffect):     asReported,
	Code(hostdir.HostsFileEmpty):        asReported,
	Code(hostdir.HostsFileHidden):       isWarning,
	Code(hostdir.HostsFileHTTP):         isWarning,
	Code(hostdir.SystemRootsUnreadable): isWarning,
	NoDirectory:                         isWarning, // fatal if none of the given roots exists
	NoPull:                              isError,
	KeyPermissions:                      isWarning,
	KeyDoesNotSign:                      isWarning,
	ExpiresSoon:                         isWarning,
	CAExpiresSoon:                       isWarning,
	CopyStale:                           isWarning,

	// The network and the server.
	NameUnknown:         isError,
	NoConnection:        isError,
	ProxyFailed:         isError,
	TLSFailed:           isError,
	NoTLS:               isError,
	UnknownAuthority:    isError,
	WrongName:           isError,
	ServerExpired:       isError,
	ServerUnverified:    isError,
	ServerExpiresSoon:   isWarning,
	NotVerified:         isWarning,
	CertificateRequired: isError,
	CertificateRefused:  isError,
	NotAsked:            isError,
	AskedLate:           isError,
	AllRefused:          isError,
	CredentialsMissing:  isError,
	CredentialsRefused:  isError,
	CredentialsUnknown:  isWarning,
	CredentialsFile:     isWarning,
	TokenServer:         isError,
	OtherHostAsks:       isError,
	ServerError:         isError,
	NoRegistry:          isError, // a warning if uncertain
	V1Only:              isWarning,
	V1Forbidden:         isError,
	NotFound:            isError,
	TagMissing:          isError, // a warning if no tag was given
	PullFailed:          isError,
	PushRefused:         isError,
	PushFailed:          isError,
	UploadLeft:          isWarning,

	// Docker, Podman and the daemons.
	DockerConfig:    isWarning,
	DockerInsecure:  isWarning,
	DockerMirror:    isWarning,
	PodmanDirectory: isWarning,
	DaemonOtherFile: isWarning,
	DaemonProxy:     isWarning,
	DaemonUnusable:  isWarning,

	// containerd.
	ContainerdConfig: isWarning,
	StockTwoRoots:    isWarning,
	StockHostsFile:   isWarning,
	OtherRoots:       isWarning,
	CertsdStaysOut:   isWarning,
	DeprecatedKeys:   isWarning,
	CRIPullsItself:   isWarning,
	CRIDoesNotStart:  isError,
}

// graded sets the severity of findings that have none.
func graded(findings ...Finding) []Finding {
	for i, f := range findings {
		findings[i].Severity = cmp.Or(f.Severity, severities[f.Code])
	}
	return findings
}

// fatal makes a finding an error whatever its code: it leaves nothing to check.
func fatal(f Finding) Finding {
	f.Severity = isError
	return f
}

// find adds a finding.
func (l *ledger) find(f Finding) { l.add(graded(f)[0]) }

// warn adds a finding as a warning, whatever its code.
func (l *ledger) warn(f Finding) {
	f.Severity = isWarning
	l.add(f)
}

// findAt adds a finding about an endpoint: only a warning if another endpoint follows.
func (d dossier) findAt(e *certsd.Endpoint, f Finding) {
	if d.isLast(e) {
		d.find(f)
		return
	}
	d.warn(f)
}

// soften turns findings with these codes into warnings.
func (l *ledger) soften(codes ...Code) {
	for i, f := range l.report.Findings {
		if slices.Contains(codes, f.Code) {
			l.report.Findings[i].Severity = isWarning
		}
	}
}

// softenAll turns all findings into warnings: the pull worked all the same.
func (l *ledger) softenAll() {
	for i := range l.report.Findings {
		l.report.Findings[i].Severity = isWarning
	}
}

func severityOrder(severity string) int {
	if severity == isError {
		return 0
	}
	return 1
}
