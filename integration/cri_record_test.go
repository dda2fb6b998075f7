//go:build linux

package integration

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// criRecordMain is the command "cri-record LISTEN TARGET FILE": between two
// sockets it hands all calls on, and appends to FILE a line for each that came,
// "asked METHOD SAID", and one for each that ended, "answered METHOD SAID ANSWER
// CODE", with the digests of what was said and what was answered.
func criRecordMain() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: cri-record LISTEN TARGET FILE")
		os.Exit(2)
	}
	if err := record(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func record(address, target, file string) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	conn, err := grpc.NewClient("unix://"+target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{}), grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	defer conn.Close()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", address)
	if err != nil {
		return err
	}
	r := &recorder{next: conn, out: out}
	return grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(r.handle)).Serve(l)
}

// recorder hands on calls with one message each way.
type recorder struct {
	next *grpc.ClientConn
	mu   sync.Mutex // guards out
	out  io.Writer
}

func (r *recorder) handle(_ any, stream grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return errors.New("the call names no method")
	}
	var said, answer []byte
	if err := stream.RecvMsg(&said); err != nil {
		return err
	}
	r.line("asked %s %x\n", method, sha256.Sum256(said))
	ctx := stream.Context()
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, md.Copy())
	}
	err := r.next.Invoke(ctx, method, &said, &answer)
	r.line("answered %s %x %x %s\n", method, sha256.Sum256(said), sha256.Sum256(answer), status.Code(err))
	if err != nil {
		return err
	}
	return stream.SendMsg(&answer)
}

func (r *recorder) line(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.out, format, args...)
}

// bytesCodec leaves messages as they are.
type bytesCodec struct{}

// Name implements encoding.Codec.
func (bytesCodec) Name() string { return "proto" }

// Marshal implements encoding.Codec.
func (bytesCodec) Marshal(v any) ([]byte, error) {
	if b, ok := v.(*[]byte); ok {
		return *b, nil
	}
	return nil, fmt.Errorf("a %T is no message", v)
}

// Unmarshal implements encoding.Codec.
func (bytesCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a %T is no message", v)
	}
	*b = data
	return nil
}
