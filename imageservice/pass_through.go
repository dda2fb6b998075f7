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

// bothWays describes a stream of any kind, including a call with one message.
var bothWays = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

// pass forwards a call of any method of any service, with its metadata, and its
// answers. first is a message already read from the stream, nil for none.
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
	// It ends when the call does.
	go forth(in, out, first)
	return back(in, out)
}

// forth forwards the client's messages. The other side reports any error in that.
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

// back forwards the answers: header, messages, trailer, status.
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
