package certsd

// endpointState is the mutable side of an Endpoint: transports, and the
// identity that last worked for each repository.
type endpointState struct{}

func newEndpointState() *endpointState { return &endpointState{} }

// retire closes the idle connections of an endpoint that was replaced.
func (s *endpointState) retire() {}
