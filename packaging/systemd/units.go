// Package systemd has the units of the image service, for what installs them where
// there is no package.
package systemd

import _ "embed"

// CRIService and CRISocket are certsd-cri.service and certsd-cri.socket.
var (
	//go:embed certsd-cri.service
	CRIService string
	//go:embed certsd-cri.socket
	CRISocket string
)
