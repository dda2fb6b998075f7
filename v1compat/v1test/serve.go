package v1test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
)

const sessionCookie = "session"

// protocol answers the requests.
type protocol struct{ *Server }

// serve answers one request the way the quirks say.
func (s protocol) serve(w http.ResponseWriter, r *http.Request) {
	q := s.quirks
	s.common(w, r)
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	last := path[len(path)-1]
	switch {
	case r.URL.Path == "/v1/_ping":
		s.ping(w)
	case !s.authorized(r, path[0] == "repositories" && last == "images"):
		w.Header().Set("WWW-Authenticate", `Token realm="v1test"`)
		s.refuse(w, http.StatusUnauthorized, "Requires authorization")
	case path[0] == "repositories" && last == "images" && len(path) > 2:
		s.index(w, r, strings.Join(path[1:len(path)-1], "/"))
	case path[0] == "repositories" && last == "tags" && len(path) > 2:
		s.tags(w, strings.Join(path[1:len(path)-1], "/"))
	case path[0] == "repositories" && len(path) > 3 && path[len(path)-2] == "tags":
		s.tag(w, strings.Join(path[1:len(path)-2], "/"), last)
	case path[0] == "images" && len(path) == 3:
		if _, err := r.Cookie(sessionCookie); q.Cookie && err != nil {
			s.refuse(w, http.StatusBadRequest, "Missing namespace in request")
			return
		}
		s.image(w, r, path[1], last)
	default:
		s.missing(w, "Not found")
	}
}

func (s protocol) common(w http.ResponseWriter, r *http.Request) {
	h, q := w.Header(), s.quirks
	for name, value := range q.CommonHeader {
		h.Set(name, value)
	}
	if q.Version != "" {
		h.Set("X-Docker-Registry-Version", q.Version)
	}
	if q.Standalone != "" {
		h.Set("X-Docker-Registry-Standalone", q.Standalone)
	}
	if q.Size == SizeZero {
		h.Set("X-Docker-Size", "0")
	}
	if q.EverywhereEndpoints {
		s.endpoints(w, r)
	}
}

func (s protocol) endpoints(w http.ResponseWriter, r *http.Request) {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	w.Header().Del("X-Docker-Endpoints")
	for _, line := range s.quirks.Endpoints {
		w.Header().Add("X-Docker-Endpoints", strings.NewReplacer("{host}", r.Host, "{name}", name).Replace(line))
	}
}

func (s protocol) ping(w http.ResponseWriter) {
	body, status := s.quirks.Ping, s.quirks.PingStatus
	if body == "" {
		body = "true"
	}
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

func (s protocol) authorized(r *http.Request, index bool) bool {
	q := s.quirks
	user, secret, _ := r.BasicAuth()
	basic := user == q.User && secret == q.Secret
	if q.User != "" && (index || q.BasicEverywhere) {
		return basic
	}
	return index || q.RequireToken == "" || r.Header.Get("Authorization") == q.RequireToken
}

// name returns the repository a name in a URL means.
func (s protocol) name(name string) string {
	switch s.quirks.Library {
	case LibraryAdd:
		if !strings.Contains(name, "/") {
			return "library/" + name
		}
	case LibraryStrip:
		return strings.TrimPrefix(name, "library/")
	}
	return name
}

func (s protocol) repository(name string) (map[string]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tags, ok := s.repositories[s.name(name)]
	return maps.Clone(tags), ok
}

func (s protocol) index(w http.ResponseWriter, r *http.Request, name string) {
	tags, ok := s.repository(name)
	if !ok {
		s.missing(w, "Repository not found")
		return
	}
	s.endpoints(w, r)
	if r.Header.Get("X-Docker-Token") == "true" {
		for _, token := range s.quirks.Token {
			w.Header().Add("X-Docker-Token", token)
			w.Header().Add("WWW-Authenticate", token)
		}
	}
	if s.quirks.Cookie {
		w.Header().Add("Set-Cookie", sessionCookie+"=1; Path=/; HttpOnly")
	}
	if s.quirks.IndexBody != "" {
		_, _ = w.Write([]byte(s.quirks.IndexBody))
		return
	}
	list := []map[string]string{}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, map[string]string{"id": tags[tag], "Tag": tag})
	}
	writeJSON(w, list)
}

func (s protocol) tags(w http.ResponseWriter, name string) {
	tags, ok := s.repository(name)
	if !ok {
		s.missing(w, "Repository not found")
		return
	}
	writeJSON(w, tags)
}

func (s protocol) tag(w http.ResponseWriter, name, tag string) {
	tags, ok := s.repository(name)
	switch id, has := tags[tag]; {
	case ok && s.quirks.TagStatus != 0:
		w.WriteHeader(s.quirks.TagStatus)
	case !has:
		s.missing(w, "Tag not found")
	case s.quirks.BareTag:
		_, _ = fmt.Fprintln(w, id)
	default:
		writeJSON(w, id)
	}
}

// missing answers for what is not there.
func (s protocol) missing(w http.ResponseWriter, message string) {
	status := s.quirks.Hidden
	if status == 0 {
		status = http.StatusNotFound
	}
	s.refuse(w, status, message)
}

func (s protocol) refuse(w http.ResponseWriter, status int, message string) {
	switch s.quirks.Missing {
	case MissingPlain:
		http.Error(w, message, status)
	case MissingHTML:
		w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<!DOCTYPE HTML>\n<html><head><title>%d</title></head></html>\n", status)
	case MissingEmpty:
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(v)
	check(err)
	_, _ = w.Write(b)
}
