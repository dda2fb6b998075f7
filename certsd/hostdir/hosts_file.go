package hostdir

import (
	"slices"

	"github.com/certsd/containerd-certsd/certsd/hoststoml"
)

// hostsFile is a hosts.toml with the content of the files that it names.
type hostsFile struct {
	*hoststoml.File
	// endpoints are the file's endpoints, in its order.
	endpoints []*endpointConfig
}

// endpointConfig is one table of a hosts.toml.
type endpointConfig struct {
	*hoststoml.Endpoint
	// cas and identities are loaded from its ca and client.
	cas        []CA
	identities []*Identity
}

// parseHosts reads the text of a hosts.toml. The result is nil if one of the
// problems is a failure.
func parseHosts(file string, data []byte) (*hostsFile, []*Problem) {
	read, found := hoststoml.Parse(file, data)
	problems := make([]*Problem, 0, len(found))
	for _, p := range found {
		problems = append(problems, problemInHosts(file, p))
	}
	if read == nil {
		return nil, problems
	}
	config := &hostsFile{File: read}
	for _, e := range read.Endpoints {
		config.endpoints = append(config.endpoints, &endpointConfig{Endpoint: e})
	}
	return config, slices.Clip(problems)
}

var codeOfKind = map[hoststoml.Kind]ProblemCode{
	hoststoml.Syntax:     HostsFileSyntax,
	hoststoml.UnknownKey: HostsFileKey,
	hoststoml.Value:      HostsFileValue,
	hoststoml.NoEffect:   HostsFileNoEffect,
}

func problemInHosts(file string, p *hoststoml.Problem) *Problem {
	problem := &Problem{Code: codeOfKind[p.Kind], File: file, Line: p.Line, Key: p.Key, Err: p.Err}
	if p.Fatal() {
		problem.Severity = Failure
	}
	return problem
}
