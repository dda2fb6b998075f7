package resolver

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// locations continues uploads where the registry says.
//
// containerd's pusher accepts a Location that is absolute or begins with a slash, and
// reassembles it from its decoded parts. RFC 9110 allows any reference, relative to
// the URL requested last, and its content belongs to the registry: it may be signed,
// or depend on its escapes. So the pusher receives an absolute URL that carries the
// original one verbatim in a parameter, which is unpacked when the pusher uses that
// URL.
type locations struct {
	next http.RoundTripper
	// origin is the endpoint's origin, the one Authorization is meant for.
	origin string
}

// locationParameter carries the path and query of an upload.
const locationParameter = "certsd-location"

// RoundTrip implements http.RoundTripper.
func (l *locations) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut || req.Method == http.MethodDelete {
		at, ok, err := carried(req.URL)
		if err != nil {
			return nil, refuse(req, err)
		}
		if ok {
			req = l.to(req, at)
		}
	}
	resp, err := l.next.RoundTrip(req)
	if err != nil || req.Method != http.MethodPost || resp.StatusCode != http.StatusAccepted {
		return resp, err
	}
	location, err := carrying(resp)
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	resp.Header.Set("Location", location)
	return resp, nil
}

// to returns a request for the registry's location. It does not send the endpoint's
// token to another host: the pusher mistakes the last server that answered for the
// endpoint.
func (l *locations) to(req *http.Request, at *url.URL) *http.Request {
	req = req.Clone(req.Context())
	req.URL = at
	if at.Scheme+"://"+at.Host != l.origin {
		req.Header.Del("Authorization")
	}
	return req
}

func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// carrying returns the URL of an upload for containerd's pusher.
func carrying(resp *http.Response) (string, error) {
	asked := resp.Request.URL
	location := resp.Header.Get("Location")
	if location == "" {
		return "", fmt.Errorf("%s accepted an upload but sent no Location to upload to", asked.Host)
	}
	at, err := asked.Parse(location)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: the Location of the upload is not a URL", asked.Host)
	case at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.Opaque != "":
		return "", fmt.Errorf("%s: the Location of the upload is not an HTTP URL", asked.Host)
	case at.Scheme == "http" && asked.Scheme == "https":
		return "", fmt.Errorf("%s was asked over https but wants the upload at %s://%s, unencrypted, which is refused: "+
			"have the proxy in front of it send X-Forwarded-Proto, or set the registry's external URL to https://", asked.Host, at.Scheme, at.Host)
	}
	raw := at.EscapedPath()
	if at.RawQuery != "" {
		raw += "?" + at.RawQuery
	}
	u := url.URL{Scheme: at.Scheme, Host: at.Host, Path: "/"}
	if at.EscapedPath() == at.Path {
		// Only for error messages: the pusher treats it as the unescaped form.
		u.Path = at.Path
	}
	u.RawQuery = url.Values{locationParameter: {base64.RawURLEncoding.EncodeToString([]byte(raw))}}.Encode()
	return u.String(), nil
}

var errCarried = errors.New("the URL of the upload was changed on its way")

// carried returns the URL that another one carries, with the digest and whatever else
// the pusher has added.
func carried(u *url.URL) (at *url.URL, ok bool, err error) {
	query := u.Query()
	values := query[locationParameter]
	if len(values) == 0 {
		return nil, false, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(values[0])
	if err != nil || len(values) > 1 {
		return nil, false, errCarried
	}
	path, rest, _ := strings.Cut(string(raw), "?")
	at = &url.URL{Scheme: u.Scheme, Host: u.Host}
	if at.Path, err = url.PathUnescape(path); err != nil {
		return nil, false, errCarried
	}
	at.RawPath, at.RawQuery = path, rest
	query.Del(locationParameter)
	at.RawQuery += "&" + query.Encode()
	at.RawQuery = strings.Trim(at.RawQuery, "&")
	return at, true, nil
}
