package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	transfertypes "github.com/containerd/containerd/api/types/transfer"
	"github.com/containerd/containerd/v2/core/streaming"
	"github.com/containerd/typeurl/v2"
)

// memoryStreams creates streams whose other end stays in this process.
type memoryStreams struct {
	peers map[string]*memoryStream
}

var _ streaming.StreamCreator = (*memoryStreams)(nil)

// Create implements streaming.StreamCreator.
func (m *memoryStreams) Create(_ context.Context, id string) (streaming.Stream, error) {
	near, far := newStreamPair()
	if m.peers == nil {
		m.peers = map[string]*memoryStream{}
	}
	m.peers[id] = far
	return near, nil
}

// peer returns our end of the named stream, or nil. A stream that the stock registry
// did not create in this call belongs to a remote client.
func (m *memoryStreams) peer(id string) *memoryStream {
	if id == "" {
		return nil
	}
	return m.peers[id]
}

// memoryStream is one end of a pair. Closing either end ends both.
type memoryStream struct {
	in, out chan typeurl.Any
	// waiting receives a value each time the other end begins to receive.
	waiting, announce chan struct{}
	done              chan struct{}
	once              *sync.Once
}

var _ streaming.Stream = (*memoryStream)(nil)

func newStreamPair() (a, b *memoryStream) {
	ab, ba := make(chan typeurl.Any), make(chan typeurl.Any)
	wa, wb := make(chan struct{}), make(chan struct{})
	done, once := make(chan struct{}), new(sync.Once)
	a = &memoryStream{in: ba, out: ab, waiting: wb, announce: wa, done: done, once: once}
	b = &memoryStream{in: ab, out: ba, waiting: wa, announce: wb, done: done, once: once}
	return a, b
}

// Send implements streaming.Stream.
func (s *memoryStream) Send(v typeurl.Any) error {
	select {
	case s.out <- v:
		return nil
	case <-s.done:
		return io.EOF
	}
}

// Recv implements streaming.Stream.
func (s *memoryStream) Recv() (typeurl.Any, error) {
	announce := s.announce
	for {
		select {
		case announce <- struct{}{}:
			announce = nil
		case v := <-s.in:
			return v, nil
		case <-s.done:
			return nil, io.EOF
		}
	}
}

// Close implements streaming.Stream.
func (s *memoryStream) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// authStream asks the stock registry for the client's credentials.
type authStream struct {
	// mu keeps question and answer together, and guards the fields below.
	mu     sync.Mutex
	stream *memoryStream
	// listening reports whether the other end is known to be receiving.
	listening bool
}

func newAuthStream(s *memoryStream) *authStream {
	if s == nil {
		return nil
	}
	return &authStream{stream: s}
}

// errNoAnswer is the result of a question when the answering side, which only logs a
// failing credential helper, proceeds to its next question.
var errNoAnswer = errors.New("the client's credential helper failed: see containerd's log")

// ask returns user and secret for a host; without a user the secret is a
// refresh token. Both are empty if the client has none.
func (a *authStream) ask(ctx context.Context, host, reference string) (user, secret string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	question, err := typeurl.MarshalAny(&transfertypes.AuthRequest{Host: host, Reference: reference})
	if err != nil {
		return "", "", err
	}
	answer, err := a.exchange(ctx, question)
	if err != nil {
		return "", "", fmt.Errorf("credentials for %s: %w", host, err)
	}
	var m transfertypes.AuthResponse
	if err := typeurl.UnmarshalTo(answer, &m); err != nil {
		return "", "", fmt.Errorf("credentials for %s: %w", host, err)
	}
	switch m.AuthType {
	case transfertypes.AuthType_CREDENTIALS:
		return m.Username, m.Secret, nil
	case transfertypes.AuthType_REFRESH:
		return "", m.Secret, nil
	default:
		// Stock containerd ignores a ready-made header, too.
		return "", "", nil
	}
}

func (a *authStream) exchange(ctx context.Context, question typeurl.Any) (typeurl.Any, error) {
	if !a.listening {
		select {
		case <-a.stream.waiting:
		case <-a.stream.done:
			return nil, io.EOF
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	a.listening = false
	if err := a.stream.Send(question); err != nil {
		return nil, err
	}
	select {
	case answer := <-a.stream.in:
		return answer, nil
	case <-a.stream.waiting:
		a.listening = true
		return nil, errNoAnswer
	case <-a.stream.done:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (a *authStream) close() error { return a.stream.Close() }
