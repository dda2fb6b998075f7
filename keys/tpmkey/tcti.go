package tpmkey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
)

// defaultDevice is the TPM behind the kernel's resource manager, which several
// programs may use at the same time.
const defaultDevice = "/dev/tpmrm0"

// place locates a TPM: a device, or the address of a simulator.
type place struct {
	device           string
	network, address string
	// framed reports whether commands need the frames of Microsoft's simulator.
	framed bool
}

// parseTCTI parses the TPM2 Software Stack's name for a TPM: NAME:SETTINGS, or a
// path.
func parseTCTI(text string) (place, error) {
	if strings.HasPrefix(text, "/") {
		return place{device: text}, nil
	}
	name, settings, _ := strings.Cut(text, ":")
	// The file name of its library is accepted, too.
	name = strings.TrimPrefix(name, "libtss2-tcti-")
	name, _, _ = strings.Cut(name, ".so")
	switch name {
	case "device":
		if settings == "" {
			settings = defaultDevice
		}
		return place{device: settings}, nil
	case "swtpm", "mssim":
		return parseSimulator(name, settings)
	case "tabrmd":
		return place{}, fmt.Errorf("%s=%s: the daemon tabrmd is not supported: name the device, whose kernel driver does the same: %[1]s=device:%[3]s", variable, text, defaultDevice)
	}
	return place{}, fmt.Errorf("%s=%s: use device:PATH, swtpm:host=HOST,port=PORT and mssim:host=HOST,port=PORT", variable, text)
}

func parseSimulator(name, settings string) (place, error) {
	p := place{network: "tcp", framed: name == "mssim"}
	host, port := "localhost", "2321"
	for setting := range strings.SplitSeq(settings, ",") {
		if setting == "" {
			continue
		}
		key, value, _ := strings.Cut(setting, "=")
		switch {
		case value == "":
			return place{}, fmt.Errorf("%s=%s:%s: %q has no value", variable, name, settings, key)
		case key == "host":
			host = value
		case key == "port":
			port = value
		case key == "path":
			p.network, p.address = "unix", value
		default:
			return place{}, fmt.Errorf("%s=%s:%s: %q is not host, port or path", variable, name, settings, key)
		}
	}
	if p.network == "tcp" {
		p.address = net.JoinHostPort(host, port)
	}
	return p, nil
}

// open connects to the TPM. The connection is unusable after the deadline.
func (p place) open(deadline time.Time) (transport.TPMCloser, error) {
	if p.device != "" {
		f, err := os.OpenFile(p.device, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		// A driver that does not support deadlines has bounds of its own.
		_ = f.SetDeadline(deadline)
		return &stream{f}, nil
	}
	c, err := p.dial(deadline)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(deadline)
	if p.framed {
		return &frames{c}, nil
	}
	return &stream{c}, nil
}

// dial connects to a simulated TPM. It retries while the TPM is in use and its Unix
// socket has no room for another waiting connection.
func (p place) dial(deadline time.Time) (net.Conn, error) {
	d := net.Dialer{Deadline: deadline}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		c, err := d.Dial(p.network, p.address)
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(deadline) {
			return c, err
		}
		time.Sleep(pause)
	}
}

// maxAnswer bounds a TPM's answer: the specification's buffers have 4096 bytes.
const maxAnswer = 8 << 10

// headerSize is the size of tag, size and code at the beginning of an answer.
const headerSize = 10

// stream speaks to a TPM that takes commands and answers without frames.
type stream struct{ io.ReadWriteCloser }

// Send implements transport.TPM.
func (s *stream) Send(command []byte) ([]byte, error) {
	if _, err := s.Write(command); err != nil {
		return nil, err
	}
	// A device returns an answer whole, to a single read.
	answer := make([]byte, maxAnswer)
	n, err := io.ReadAtLeast(s, answer, headerSize)
	if err != nil {
		return nil, cut(err)
	}
	size := binary.BigEndian.Uint32(answer[2:])
	if err := checkSize(size); err != nil {
		return nil, err
	}
	if n < int(size) {
		m, err := io.ReadFull(s, answer[n:size])
		if err != nil {
			return nil, cut(err)
		}
		n += m
	}
	return answer[:n], nil
}

// checkSize refuses a size that an answer cannot have.
func checkSize(size uint32) error {
	if size < headerSize || size > maxAnswer {
		return fmt.Errorf("its answer says that it has %d bytes", size)
	}
	return nil
}

// cut explains the end of a connection.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it went away without an answer")
	}
	return err
}
