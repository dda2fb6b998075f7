package tpmkey

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Commands of the protocol of Microsoft's simulator, TpmTcpProtocol.h.
const (
	sendCommand = 8
	sessionEnd  = 20
)

// frames speaks to a TPM by the protocol of Microsoft's simulator.
type frames struct{ io.ReadWriteCloser }

// Send implements transport.TPM.
func (f *frames) Send(command []byte) ([]byte, error) {
	frame := binary.BigEndian.AppendUint32(nil, sendCommand)
	frame = append(frame, 0)                                           // locality
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(command))) //nolint:gosec // a command has some hundred bytes
	if _, err := f.Write(append(frame, command...)); err != nil {
		return nil, err
	}
	size, err := f.number()
	if err != nil {
		return nil, err
	}
	if err := checkSize(size); err != nil {
		return nil, err
	}
	answer := make([]byte, size)
	if _, err := io.ReadFull(f, answer); err != nil {
		return nil, cut(err)
	}
	code, err := f.number()
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("it ended the answer with %d", code)
	}
	return answer, nil
}

func (f *frames) number() (uint32, error) {
	var number [4]byte
	if _, err := io.ReadFull(f, number[:]); err != nil {
		return 0, cut(err)
	}
	return binary.BigEndian.Uint32(number[:]), nil
}

// Close implements transport.TPMCloser.
func (f *frames) Close() error {
	_, _ = f.Write(binary.BigEndian.AppendUint32(nil, sessionEnd))
	return f.ReadWriteCloser.Close()
}
