package imageservice

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// maxMessage bounds a message in bytes. containerd's and the kubelet's own limit is 16
// MiB.
const maxMessage = 64 << 20

// frame is a message that is passed on unread.
type frame struct{ bytes []byte }

// rawCodec passes messages on as they are, under the name of their encoding.
type rawCodec struct{}

var _ encoding.Codec = rawCodec{}

// Name implements encoding.Codec.
func (rawCodec) Name() string { return proto.Name }

// Marshal implements encoding.Codec.
func (rawCodec) Marshal(v any) ([]byte, error) {
	if f, ok := v.(*frame); ok {
		return f.bytes, nil
	}
	return nil, fmt.Errorf("a %T is not a frame", v)
}

// Unmarshal implements encoding.Codec.
func (rawCodec) Unmarshal(data []byte, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("a %T is not a frame", v)
	}
	f.bytes = data
	return nil
}

// decode and encode convert the messages that are read here. gRPC's codec handles the
// types of CRI, whichever generator made them.
func decode(data []byte, message any) error {
	return encoding.GetCodecV2(proto.Name).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, message)
}

func encode(message any) (*frame, error) {
	data, err := encoding.GetCodecV2(proto.Name).Marshal(message)
	if err != nil {
		return nil, err
	}
	defer data.Free()
	return &frame{data.Materialize()}, nil
}
