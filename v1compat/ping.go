package v1compat

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Ping is a registry's description of itself.
type Ping struct {
	// Status is the HTTP status; any answer shows a working server, not
	// necessarily one that speaks the protocol.
	Status int
	// Version is the registry's version, empty if unknown: Python's 0.9 omits it.
	Version string
	// Standalone reports whether the registry works without an index: credentials are
	// for the registry itself and tokens mean nothing. It is assumed unless denied.
	Standalone bool
}

// Ping sends _ping to the registry, without credentials, as Docker did. Only a
// request without an answer is an error.
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
	const most = 64 << 10 // the Python registry's debug object lists its modules
	body, _ := readAll(resp.Body, most)
	return parsePing(resp.StatusCode, resp.Header, body), nil
}

// parsePing overlays the defaults with the body, if it is JSON of the right form, and
// then with the headers. For standalone, the Python registry sends True, False or, as
// a mirror that wants no Basic, the word "mirror"; Quay sends 0.
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

// anonymous adds nothing to requests and learns nothing from answers.
type anonymous struct{}

func (anonymous) sign(*http.Request)                        {}
func (anonymous) learn(*http.Request, *http.Response) error { return nil }
