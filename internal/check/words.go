package check

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/certsd/containerd-certsd/internal/handshake"
	"github.com/certsd/containerd-certsd/internal/plainfile"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// maxText bounds how much of a server's text is shown.
const maxText = 300

// printable makes a server's text fit for one line.
func printable(text string) string { return safetext.Line(text, maxText) }

// alertWords explain the TLS alerts of a server: RFC 8446, 6.2.
var alertWords = map[tls.AlertError]string{
	20:  "bad record: the connection was damaged on the way",
	40:  "handshake failure: it wants a client certificate, another one, or other algorithms",
	42:  "bad certificate: it cannot use the client certificate, or requires one",
	43:  "unsupported certificate: it does not accept client certificates of this kind",
	44:  "certificate revoked: the client certificate was revoked",
	45:  "certificate expired: the client certificate is outside of its validity, by the server's clock",
	46:  "certificate unknown: it does not accept the client certificate",
	48:  "unknown certificate authority: it does not know the CA that issued the client certificate",
	49:  "access denied: the client certificate is valid but has no access",
	70:  "protocol version: it speaks neither TLS 1.2 nor 1.3",
	80:  "internal error of the server",
	112: "unrecognized name: it serves nothing under this name",
	116: "certificate required: it requires a client certificate",
}

func alertText(a tls.AlertError) string {
	if words := alertWords[a]; words != "" {
		return words
	}
	return strings.TrimPrefix(a.Error(), "tls: ")
}

// refusesCertificate reports whether nginx rejected the client certificate: 495, which
// it sends as 400.
func refusesCertificate(status int, answer string) bool {
	return status == 495 || status == http.StatusBadRequest && strings.Contains(answer, "The SSL certificate error")
}

// wantsCertificate reports whether nginx got no client certificate: 496, which it sends
// as 400.
func wantsCertificate(status int, answer string) bool {
	return status == 496 || status == http.StatusBadRequest && strings.Contains(answer, "No required SSL certificate was sent")
}

// statusWords explains a status, including nginx's own for certificates.
func statusWords(status int, answer string) string {
	switch {
	case refusesCertificate(status, answer):
		return strconv.Itoa(status) + " The SSL certificate error: the server does not accept the client certificate"
	case wantsCertificate(status, answer):
		return strconv.Itoa(status) + " No required SSL certificate was sent: the server wants a client certificate"
	case http.StatusText(status) == "":
		return strconv.Itoa(status)
	}
	return fmt.Sprintf("%d %s", status, http.StatusText(status))
}

// wordsOf describes an error, without the URL in front.
func wordsOf(err error) string {
	if err == nil {
		return ""
	}
	if alert, ok := handshake.Alert(err); ok {
		return fmt.Sprintf("TLS alert %d, %s", alert, alertText(alert))
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to it"
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was reset"
	case errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.Is(err, io.EOF):
		return "the server closed the connection without an answer"
	}
	return printable(err.Error())
}

func joined(names []string) string { return strings.Join(names, ", ") }

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, name := range names {
		q[i] = strconv.Quote(name)
	}
	return strings.Join(q, ", ")
}

// shellWord quotes a word for a command that people type.
func shellWord(word string) string { return plainfile.Quote(word) }

// withoutSecrets returns a URL without user, query and fragment.
func withoutSecrets(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	u.RawPath = "" // the default encoding
	return safetext.URL(u)
}

var anyURL = regexp.MustCompile(`https?://[^\s"'<>]+`)

// presentable returns the text of an error, with secrets removed from its URLs.
func presentable(err error) string {
	return printable(anyURL.ReplaceAllStringFunc(err.Error(), withoutSecrets))
}
