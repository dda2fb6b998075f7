package resolver

import (
	"errors"
	"testing"
)

// TestCredentialsOfTheClientFirst asks two sources: what the client says under
// either name of a registry goes before what the node has.
func TestCredentialsOfTheClientFirst(t *testing.T) {
	t.Parallel()
	source := func(known map[string]string) func(string) (string, string, error) {
		return func(host string) (string, string, error) {
			if known[host] == "error" {
				return "", "", errors.New("the helper failed")
			}
			return known[host], known[host], nil
		}
	}
	for _, tt := range []struct {
		name         string
		client, node map[string]string
		host, want   string
		fails        bool
	}{
		{name: "the node alone", node: map[string]string{"reg.test": "node"}, host: "reg.test", want: "node"},
		{name: "the client first", client: map[string]string{"Reg.test": "client"}, node: map[string]string{"Reg.test": "node"}, host: "reg.test", want: "client"},
		{name: "the client by another spelling", client: map[string]string{"reg.test": "client"}, node: map[string]string{"Reg.test": "node"}, host: "reg.test", want: "client"},
		{name: "a mirror", client: map[string]string{"Reg.test": "client"}, node: map[string]string{"mirror.test": "mirror"}, host: "mirror.test", want: "mirror"},
		{name: "a mirror without", client: map[string]string{"Reg.test": "client"}, node: map[string]string{"Reg.test": "node"}, host: "mirror.test"},
		{name: "the client's helper fails", client: map[string]string{"Reg.test": "error"}, node: map[string]string{"Reg.test": "node"}, host: "reg.test", fails: true},
	} {
		o := Options{Fallback: source(tt.node)}
		if tt.client != nil {
			o.Credentials = source(tt.client)
		}
		user, secret, err := o.credentials("Reg.test").only(tt.host)(tt.host)
		if user != tt.want || secret != tt.want || (err != nil) != tt.fails {
			t.Errorf("%s: got %q, %q, %v", tt.name, user, secret, err)
		}
		if user, _, _ := o.credentials("Reg.test").only(tt.host)("elsewhere.test"); user != "" {
			t.Errorf("%s: whoever else challenges gets %q", tt.name, user)
		}
	}
}
