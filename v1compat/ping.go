package v1compat

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Ping is what a registry says of itself.
type Ping struct {
	// Status is the HTTP status; any answer shows a working server, not
	// necessarily one that speaks the protocol.
	Status int
	// Version is the registry's, empty if it does not say: python 0.9 does not.
	Version string
	// Standalone reports that the registry does without an index: credentials
	// are for itself and tokens mean nothing. It is assumed unless denied.
	Standalone bool
}

// Ping asks the registry for a sign of life, without credentials, as Docker
// did. Only a request that is not answered is an error.
func (c *Client) Ping(ctx context.Context) (Ping, error) {
	base, err := c.base()
	if err != nil {
		return Ping{}, c.refuse(err)
	}
	return c.ping(ctx, base)
}

func (c *Client) ping(ctx context.Context, base endpoint) (Ping, error) {
	ctx, cancel := c.attempt(ctx)
	defer cancel()
	s := &session{c: c, registry: base}
	segments := []string{"_ping"}
	u, err := base.url(segments...)
	if err != nil {
		return Ping{}, c.refuse(err)
	}
	resp, err := follower{c}.get(ctx, u, http.Header{}, anonymous{})
	if err != nil {
		return Ping{}, s.located(base, segments, err)
	}
	defer discard(resp.Response)
	const most = 64 << 10 // python's debug object lists its modules
	body, _ := readAll(resp.Body, most)
	return parsePing(resp.StatusCode, resp.Header, body), nil
}

// parsePing overlays the default with the body, if it is JSON of the right
// form, and that with the headers. Python sends True, False or, when it is a
// mirror and wants no Basic, the word "mirror"; Quay sends 0.
func parsePing(status int, h http.Header, body []byte) Ping {
	p := Ping{Status: status, Standalone: true}
	said := struct {
		Version    *string `json:"version"`
		Standalone *bool   `json:"standalone"`
	}{&p.Version, &p.Standalone}
	_ = json.Unmarshal(body, &said) // any body will do: true, {}, pong, HTML
	if v := h.Get("X-Docker-Registry-Version"); v != "" {
		p.Version = v
	}
	if v := h.Get("X-Docker-Registry-Standalone"); v != "" {
		p.Standalone = v == "1" || strings.EqualFold(v, "true")
	}
	p.Version = printable(p.Version)
	return p
}

// anonymous sends nothing and remembers nothing.
type anonymous struct{}

func (anonymous) sign(*http.Request)                        {}
func (anonymous) learn(*http.Request, *http.Response) error { return nil }
