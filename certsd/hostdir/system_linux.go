package hostdir

// The CA roots, as in crypto/x509 (root_linux.go of Go 1.26): the first file that can
// be read, and all directories.
var (
	systemFiles = []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Gentoo
		"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL 6
		"/etc/ssl/ca-bundle.pem",                            // openSUSE
		"/etc/pki/tls/cacert.pem",                           // OpenELEC
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL 7
		"/etc/ssl/cert.pem",                                 // Alpine
	}
	systemDirs = []string{
		"/etc/ssl/certs",     // SLES
		"/etc/pki/tls/certs", // Fedora, RHEL
	}
)
