package certsd

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/certsd/containerd-certsd/internal/safetext"
)

const (
	// maxAnswerBody is how much of an error's body is looked at: enough for
	// the JSON of a registry, which is of use only if it is whole.
	maxAnswerBody = 8 << 10
	// What is shown, in characters.
	maxAnswer = safetext.MaxAnswer
	maxName   = safetext.MaxName
	maxURL    = safetext.MaxURL
)

// answerText returns what the body of an error says, in one line. Where the
// server repeats what is secret in the request it is taken out.
func answerText(body []byte, contentType string, secrets ...string) string {
	text := fromJSON(body)
	if text == "" {
		text = string(body)
		if strings.Contains(contentType, "html") || strings.HasPrefix(strings.TrimSpace(text), "<") {
			text = fromHTML(text)
		}
	}
	return safetext.Line(safetext.Hide(text, secrets...), maxAnswer)
}

// fromJSON reads the errors of the OCI distribution specification ("Error
// codes") and the forms of Registry v1 and common gateways.
func fromJSON(body []byte) string {
	var doc struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Error   any `json:"error"`
		Message any `json:"message"`
		Details any `json:"details"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return ""
	}
	var parts []string
	for _, e := range doc.Errors {
		parts = append(parts, strings.Trim(e.Code+": "+e.Message, ": "))
	}
	for _, v := range []any{doc.Error, doc.Message, doc.Details} {
		if s, ok := v.(string); ok && s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "; ")
}

// fromHTML returns the title of a page, or its text without tags.
func fromHTML(page string) string {
	lower := strings.ToLower(page)
	// The lengths differ where lower case has another one: then the offsets
	// of one are of no use in the other.
	if start := strings.Index(lower, "<title>"); start >= 0 && len(lower) == len(page) {
		start += len("<title>")
		if end := strings.Index(lower[start:], "<"); end > 0 {
			return page[start : start+end]
		}
	}
	var b strings.Builder
	depth := 0
	for _, r := range page {
		switch {
		case r == '<':
			depth++
		case r == '>' && depth > 0:
			depth--
			b.WriteByte(' ')
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// secrets are the parts of the request that must not be shown, should a server
// repeat them: credentials, cookies, the values of the headers configured and
// of those the pull brought along, and the query, where signed URLs have their
// signature.
func (rd *round) secrets() []string {
	_, credentials, _ := strings.Cut(rd.header.Get("Authorization"), " ")
	secrets := []string{rd.header.Get("Authorization"), strings.TrimSpace(credentials), rd.req.URL.RawQuery}
	if _, password, ok := (&http.Request{Header: rd.header}).BasicAuth(); ok {
		secrets = append(secrets, password)
	}
	for _, private := range []http.Header{rd.route.to.Header, rd.route.scoped} {
		for _, values := range private {
			secrets = append(secrets, values...)
		}
	}
	for _, cookie := range (&http.Request{Header: rd.header}).Cookies() {
		secrets = append(secrets, cookie.Value)
	}
	for pair := range strings.SplitSeq(rd.req.URL.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if plainFields[name] {
			continue
		}
		secrets = append(secrets, value)
		if plain, err := url.QueryUnescape(value); err == nil {
			secrets = append(secrets, plain)
		}
	}
	return append(secrets, formSecrets(rd.req)...)
}

// plainFields are the fields of queries and forms that are no secrets: a token server
// says which scope it does not like, an upload is about a digest.
var plainFields = map[string]bool{
	"account": true, "artifactType": true, "client_id": true, "digest": true, "from": true, "grant_type": true, "last": true,
	"mount": true, "n": true, "ns": true, "offline_token": true, "scope": true, "service": true, "access_type": true,
}

// formSecrets are those in the body of a request for a token by POST, where user
// and password or the refresh token are.
func formSecrets(req *http.Request) []string {
	if req.Method != http.MethodPost || req.GetBody == nil || req.ContentLength <= 0 || req.ContentLength > maxForm ||
		!strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxForm))
	if err != nil {
		return nil
	}
	form, _ := url.ParseQuery(string(text)) // what could be parsed
	var secrets []string
	for name, values := range form {
		if !plainFields[name] {
			secrets = append(secrets, values...)
		}
	}
	return secrets
}

// maxForm bounds the body of a request for a token, in bytes.
const maxForm = 64 << 10
