package telemetry

// Messages in the log. docs/operations.md explains each: a test compares the lists.
const (
	// Of rotation.
	msgNext     = "certsd: trying the next client certificate"
	msgAccepted = "certsd: another client certificate was accepted"
	msgRefused  = "certsd: no client certificate was accepted"
	msgWanted   = "certsd: the server wants a client certificate, and there is none to present"
	msgDenied   = "certsd: the server refuses access, and there is no client certificate to present"
	msgSick     = "certsd: the server fails with every client certificate"
	msgAbsent   = "certsd: not found with any client certificate"
	msgPassed   = "certsd: a client certificate is passed over" //nolint:gosec // not a password

	// Of servers that gave no answer.
	msgUnverified  = "certsd: the server's certificate cannot be verified"
	msgUnreachable = "certsd: the server cannot be reached"
	msgNoAnswer    = "certsd: the server gives no answer"

	// Of host directories.
	msgReloaded = "certsd: read a changed host directory"
	msgKept     = "certsd: a changed host directory cannot be used, what was read last stays in use"
	msgLost     = "certsd: a host directory can no longer be used"
	msgProblem  = "certsd: problem in a host directory"

	// Of trust.
	msgSkipVerify  = "certsd: the server is not verified, as its hosts.toml says"
	msgLocalhost   = "certsd: the server is not verified, because it is on this machine and has no directory"
	msgSystemRoots = "certsd: the system's CA roots are trusted beside those of the directory"
	msgPlainHTTP   = "certsd: plain HTTP is used"
	msgV1          = "certsd: Registry v1 is used, which has no digests to verify an image by"

	// Of certificates that expire soon.
	msgClientEnds = "certsd: a client certificate expires soon"
	msgServerEnds = "certsd: the certificate of a server expires soon"
	msgCAEnds     = "certsd: a CA expires soon"

	// Of conversions.
	msgConverted    = "certsd: an image was converted"
	msgNotConverted = "certsd: an image could not be converted"

	// Of any other problem that does not keep anything from working.
	msgOdd = "certsd: unexpected condition"
)
