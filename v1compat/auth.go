package v1compat

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxToken bounds the X-Docker-Token of one answer in bytes: a larger one would not
// fit into the request header that most servers accept.
const maxToken = 8 << 10

// signer adds a session's secrets to its requests and learns new ones from the
// answers. It never sees a redirect to another origin.
type signer struct {
	s *session
	// own reports whether the request goes to the registry's own origin, the only one
	// that receives the credentials and the cookies. Other endpoints get the token.
	own bool
	// index reports whether the request is the index call.
	index bool
}

// sign authenticates as Docker has since 1.7: with Basic for the index call, which
// asks for a token, and for a standalone registry over https; with the token
// elsewhere. A registry that issued no token is sent Basic, as a proxy in front of it
// may require that.
func (g signer) sign(req *http.Request) {
	if g.index {
		req.Header.Set("X-Docker-Token", "true")
	}
	g.s.jar.add(req)
	basic := g.own && g.s.user != ""
	token := g.s.bearer()
	switch {
	case basic && (g.index || token == "" || g.s.standalone && req.URL.Scheme == "https"):
		req.SetBasicAuth(g.s.user, g.s.secret)
	case token != "":
		req.Header.Set("Authorization", "Token "+token)
	}
}

func (g signer) learn(req *http.Request, resp *http.Response) error {
	if err := g.s.jar.keep(req.URL, resp); err != nil {
		return err
	}
	return g.s.learnToken(resp.Header)
}

// learnToken replaces the session's token if the answer carries a new one.
func (s *session) learnToken(h http.Header) error {
	token, err := parseToken(h.Values("X-Docker-Token"))
	if err != nil || token == "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
	return nil
}

func (s *session) bearer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

// parseToken joins the lines of X-Docker-Token with commas, as Docker did. The Python
// registry includes the word "Token", and Docker prepended another; Quay insists on
// exactly one, so the word is removed here.
func parseToken(lines []string) (string, error) {
	var tokens []string
	total := 0
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if word := "token "; len(line) >= len(word) && strings.EqualFold(line[:len(word)], word) {
			line = strings.TrimSpace(line[len(word):])
		} else if strings.EqualFold(line, "token") {
			line = ""
		}
		if line == "" {
			continue
		}
		if !all(line, func(b byte) bool { return ' ' <= b && b <= '~' }) {
			return "", errors.New("X-Docker-Token: not printable ASCII")
		}
		if total += len(line) + 1; total > maxToken {
			return "", fmt.Errorf("X-Docker-Token: longer than %d bytes", maxToken)
		}
		tokens = append(tokens, line)
	}
	return strings.Join(tokens, ","), nil
}
