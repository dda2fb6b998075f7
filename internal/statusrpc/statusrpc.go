// Package statusrpc serves a [status.Status] over gRPC, and asks for one. status.proto
// defines the service. Its messages are well-known types, which avoids generated code
// that could conflict with containerd's.
package statusrpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/certsd/containerd-certsd/internal/status"
)

const (
	// Service is the full name of the service.
	Service = "certsd.status.v1.Status"
	// Method is the full name of its method.
	Method = "/" + Service + "/Get"
)

// Snapshot returns the present status.
type Snapshot func() *status.Status

// Register adds the service to a server.
func Register(r grpc.ServiceRegistrar, snapshot Snapshot) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: Service,
		HandlerType: (*any)(nil),
		Metadata:    "status.proto",
		Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := new(emptypb.Empty)
			if err := decode(in); err != nil {
				return nil, err
			}
			get := func(context.Context, any) (any, error) { return Encode(snapshot()) }
			if interceptor == nil {
				return get(ctx, in)
			}
			return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: Method}, get)
		}}},
	}, struct{}{})
}

// Encode returns a status as the answer to send.
func Encode(st *status.Status) (*structpb.Struct, error) {
	text, err := json.Marshal(st)
	if err != nil {
		return nil, err
	}
	answer := new(structpb.Struct)
	if err := protojson.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("the status as a protocol buffer: %w", err)
	}
	return answer, nil
}

// Get asks a daemon for its status. If the daemon does not have the service, the error
// has codes.Unimplemented.
func Get(ctx context.Context, conn grpc.ClientConnInterface) (*status.Status, error) {
	answer := new(structpb.Struct)
	if err := conn.Invoke(ctx, Method, new(emptypb.Empty), answer, grpc.MaxCallRecvMsgSize(status.MaxJSON)); err != nil {
		return nil, err
	}
	text, err := protojson.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return status.Read(bytes.NewReader(text))
}
