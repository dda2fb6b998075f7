package v1test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/google/go-cmp/cmp"
)

// browser asks a server without any intelligence.
type browser struct {
	http   *http.Transport
	header http.Header
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	b := &browser{http: &http.Transport{DisableCompression: true}, header: http.Header{}}
	t.Cleanup(b.http.CloseIdleConnections)
	return b
}

func (b *browser) get(ctx context.Context, url string) (status int, body string, h http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", nil, err
	}
	req.Header = b.header.Clone()
	resp, err := b.http.RoundTrip(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), resp.Header, err
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	srv := New(o)
	t.Cleanup(srv.Close)
	return srv
}

func TestBuild(t *testing.T) {
	t.Parallel()
	layers := []Layer{{Data: []byte("a")}, {Data: []byte("b"), Fields: map[string]any{"os": nil, "author": "me"}}}
	images := Build(layers...)
	if diff := cmp.Diff(images, Build(layers...)); diff != "" {
		t.Errorf("not the same twice:\n%s", diff)
	}
	base, leaf := images[0], images[1]
	if !slices.Equal(leaf.Ancestry, []string{leaf.ID, base.ID}) || !slices.Equal(base.Ancestry, []string{base.ID}) {
		t.Errorf("ancestries %q, %q", base.Ancestry, leaf.Ancestry)
	}
	for _, part := range []string{`"id":"` + leaf.ID, `"parent":"` + base.ID, `"author":"me"`} {
		if !strings.Contains(string(leaf.JSON), part) {
			t.Errorf("JSON lacks %s: %s", part, leaf.JSON)
		}
	}
	if strings.Contains(string(leaf.JSON), `"os"`) || strings.Contains(string(base.JSON), `"parent"`) {
		t.Errorf("JSON has too much: %s\n%s", base.JSON, leaf.JSON)
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		mode   Ranges
		ask    string
		status int
		header string // Content-Range
		body   string
		cut    bool
	}{
		{name: "by the book", ask: "bytes=4-", status: 206, header: "bytes 4-9/10", body: "456789"},
		{name: "by the book, at the end", ask: "bytes=10-", status: 416, header: "bytes */10"},
		{name: "ignored", mode: RangesIgnored, ask: "bytes=4-", status: 200, body: "0123456789"},
		{name: "no total", mode: RangesNoTotal, ask: "bytes=4-", status: 206, header: "4-9/*", body: "456789"},
		{name: "no unit", mode: RangesNoUnit, ask: "bytes=4-10", status: 206, header: "4-10/10", body: "456789", cut: true},
		{name: "no unit, the last byte", mode: RangesNoUnit, ask: "bytes=9-", status: 416},
		{name: "refused", mode: RangesRefused, ask: "bytes=4-", status: 416},
		{name: "shifted", mode: RangesShifted, ask: "bytes=4-", status: 206, header: "bytes 2-9/10", body: "23456789"},
		{name: "headless", mode: RangesHeadless, ask: "bytes=4-", status: 206, body: "456789"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			srv := start(t, Options{Quirks: Quirks{Ranges: row.mode}})
			id := srv.Add("library/x", "latest", Layer{Data: []byte("0123456789")})[0].ID
			b := newBrowser(t)
			b.header.Set("Range", row.ask)
			status, body, h, err := b.get(t.Context(), srv.URL+"/v1/images/"+id+"/layer")
			if status != row.status || body != row.body || h.Get("Content-Range") != row.header {
				t.Errorf("%d, %q, %q", status, h.Get("Content-Range"), body)
			}
			if cut := errors.Is(err, io.ErrUnexpectedEOF); cut != row.cut {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	srv := start(t, Options{})
	b := newBrowser(t)
	b.http.DisableKeepAlives = true // or net/http tries cut requests again
	ping := func() string {
		status, body, _, err := b.get(t.Context(), srv.URL+"/v1/_ping")
		if err != nil {
			return body + " cut"
		}
		return body + " " + http.StatusText(status)
	}
	goOn := make(chan struct{})
	close(goOn)
	srv.Fail(Failure{Status: 503, Body: "first", Times: 2})
	srv.Fail(Failure{Path: regexp.MustCompile("elsewhere"), Status: 500, Times: -1})
	srv.Fail(Failure{Method: http.MethodHead, Status: 500, Times: -1})
	srv.Fail(Failure{CutAfter: 2})
	srv.Fail(Failure{CutAfter: -1})
	srv.Fail(Failure{CutAfter: 100})
	srv.Fail(Failure{Wait: goOn})
	var got []string
	for range 7 {
		got = append(got, ping())
	}
	want := []string{
		"first Service Unavailable", "first Service Unavailable",
		"tr cut", " cut", "true OK", "true OK", "true OK",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if got := srv.URIs(); len(got) != 7 || got[0] != "GET /v1/_ping" {
		t.Errorf("log %q", got)
	}
}

func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	srv := New(Options{})
	arrived := make(chan struct{})
	srv.Fail(Failure{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})})
	done := make(chan error, 1)
	b := newBrowser(t)
	go func() {
		_, _, _, err := b.get(t.Context(), srv.URL+"/v1/_ping")
		done <- err
	}()
	<-arrived
	srv.Close()
	if err := <-done; err == nil {
		t.Error("answered")
	}
}

func TestLogHasTheCertificate(t *testing.T) {
	t.Parallel()
	ca := certtest.NewCA("v1test")
	srv := start(t, Options{TLS: &tls.Config{
		Certificates: []tls.Certificate{ca.Server("127.0.0.1").TLS},
		ClientAuth:   tls.RequestClientCert,
	}})
	for _, name := range []string{"", "alice"} {
		b := newBrowser(t)
		b.http.TLSClientConfig = &tls.Config{RootCAs: ca.Pool()}
		if name != "" {
			b.http.TLSClientConfig.Certificates = []tls.Certificate{ca.Client(name).TLS}
		}
		if _, _, _, err := b.get(t.Context(), srv.URL+"/v1/_ping?q"); err != nil {
			t.Fatal(err)
		}
		last := srv.Requests()[len(srv.Requests())-1]
		if last.Certificate != name || last.Host != srv.Host || last.URI != "/v1/_ping?q" {
			t.Errorf("log %+v", last)
		}
	}
}

// What servers make of a name, and what they answer to one that is not there.
func TestNames(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		quirks Quirks
		stored string
		found  []string
		not    []string
		answer string // to what is not there
	}{
		{name: "python", quirks: Python09(), stored: "library/x", found: []string{"x", "library/x"}, not: []string{"y", "a/x"}, answer: `404 {"error":"Repository not found"}`},
		{name: "Crane", quirks: Crane("http://cdn"), stored: "x", found: []string{"x", "library/x"}, not: []string{"a/x"}, answer: "404 Repository not found"},
		{name: "a static tree", quirks: Apache(), stored: "library/x", found: []string{"library/x"}, not: []string{"x"}, answer: "404 <!DOCTYPE HTML>"},
		{name: "Quay", quirks: Quay("http://cdn"), stored: "a/x", found: []string{"a/x"}, not: []string{"x"}, answer: `403 {"error":"Repository not found"}`},
		{name: "golang_impl", quirks: Golang(), stored: "library/x", found: []string{"x"}, not: []string{"y"}, answer: "404 Repository not found"},
	}
	for _, row := range rows {
		srv := start(t, Options{Quirks: row.quirks})
		srv.Add(row.stored, "latest", Layer{})
		b := newBrowser(t)
		for _, name := range row.found {
			if status, _, _, err := b.get(t.Context(), srv.URL+"/v1/repositories/"+name+"/images"); status != 200 || err != nil {
				t.Errorf("%s: %s: %d, %v", row.name, name, status, err)
			}
		}
		for _, name := range row.not {
			status, body, _, err := b.get(t.Context(), srv.URL+"/v1/repositories/"+name+"/images")
			if got := fmt.Sprintf("%d %s", status, body); err != nil || !strings.HasPrefix(got, row.answer) {
				t.Errorf("%s: %s: %q, %v", row.name, name, got, err)
			}
		}
	}
}

func TestStorageRefusesCredentials(t *testing.T) {
	t.Parallel()
	srv := NewStorage(nil)
	t.Cleanup(srv.Close)
	img := Build(Layer{Data: []byte("data")})[0]
	srv.Take(img)
	for name, want := range map[string]int{"": 200, "Authorization": 403, "Cookie": 403, "X-Docker-Token": 403} {
		b := newBrowser(t)
		if name != "" {
			b.header.Set(name, "x")
		}
		status, body, _, err := b.get(t.Context(), srv.URL+"/"+img.ID+"/layer")
		if status != want || err != nil || status == 200 && body != "data" {
			t.Errorf("%q: %d %q, %v", name, status, body, err)
		}
	}
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	srv := start(t, Options{Quirks: Quirks{User: "alice", Secret: "s3cret", BasicEverywhere: true}})
	srv.Add("library/x", "latest", Layer{})
	b := newBrowser(t)
	for path, want := range map[string]int{"_ping": 200, "repositories/x/images": 401, "repositories/x/tags": 401} {
		if status, _, _, err := b.get(t.Context(), srv.URL+"/v1/"+path); status != want || err != nil {
			t.Errorf("%s: %d, %v", path, status, err)
		}
	}
	req := http.Request{Header: b.header}
	req.SetBasicAuth("alice", "s3cret")
	if status, _, _, err := b.get(t.Context(), srv.URL+"/v1/repositories/x/tags"); status != 200 || err != nil {
		t.Errorf("alice: %d, %v", status, err)
	}
}
