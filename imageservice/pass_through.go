package imageservice

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var errNoMethod = status.Error(codes.Internal, "the call names no method")

// bothWays is a stream of any kind: a call with one message is one of those.
var bothWays = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// pass hands a call on as it is, with its metadata, and what comes back: any
// method of any service. first is a message that was taken from the stream
// already, nil for none.
func (c *connection) pass(method string, in grpc.ServerStream, first *frame) error {
	ctx, cancel := context.WithCancel(in.Context())
	defer cancel()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	out, err := c.NewStream(ctx, bothWays, method, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		return err
	}
	// It ends with the call, which it reads from.
	go forth(in, out, first)
	return back(in, out)
}

// forth hands on what the client says. What goes wrong with that is told by the
// other side.
func forth(in grpc.ServerStream, out grpc.ClientStream, first *frame) {
	if first != nil && out.SendMsg(first) != nil {
		return
	}
	for {
		var f frame
		if err := in.RecvMsg(&f); err != nil {
			if err == io.EOF { //nolint:errorlint // gRPC returns it bare
				_ = out.CloseSend()
			}
			return
		}
		if out.SendMsg(&f) != nil {
			return
		}
	}
}

// back hands on what the other side answers: header, messages, trailer, status.
func back(in grpc.ServerStream, out grpc.ClientStream) error {
	header, err := out.Header()
	if err == nil && len(header) > 0 {
		if err := in.SendHeader(header); err != nil {
			return err
		}
	}
	for {
		var f frame
		err := out.RecvMsg(&f)
		if err != nil {
			in.SetTrailer(out.Trailer())
			if err == io.EOF { //nolint:errorlint // gRPC returns it bare
				return nil
			}
			return err
		}
		if err := in.SendMsg(&f); err != nil {
			return err
		}
	}
}
