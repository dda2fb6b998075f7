package certsd

// endpointState is the mutable side of an Endpoint: transports, and the
// identity that last worked for each repository.
type endpointState struct{}
