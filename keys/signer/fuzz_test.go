package signer

import (
	"bytes"
	"io"
	"net/rpc"
	"testing"
)

// pipe is a helper that says what it says, whatever it is asked.
type pipe struct {
	io.Reader
	io.Writer
}

func (pipe) Close() error { return nil }

// FuzzAnswer reads what a helper may say.
func FuzzAnswer(f *testing.F) {
	var good bytes.Buffer
	server := newCodec(pipe{bytes.NewReader(nil), &good})
	if err := server.WriteRequest(&rpc.Request{ServiceMethod: callSign, Seq: 1}, []byte("signature")); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte("rubbish"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		c := newCodec(pipe{bytes.NewReader(data), io.Discard})
		for range 3 {
			var header rpc.Response
			var signature []byte
			if c.ReadResponseHeader(&header) != nil || c.ReadResponseBody(&signature) != nil {
				return
			}
		}
	})
}
