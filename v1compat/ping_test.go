package v1compat

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/certsd/containerd-certsd/v1compat/v1test"
	"github.com/google/go-cmp/cmp"
)

func TestParsePing(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		header map[string]string
		body   string
		want   Ping
	}{
		{name: "no header, no body", want: Ping{Standalone: true}},
		{name: "python 0.6", header: map[string]string{"Version": "0.6.8", "Standalone": "True"}, body: "true", want: Ping{Version: "0.6.8", Standalone: true}},
		{name: "1 is true", header: map[string]string{"Standalone": "1"}, want: Ping{Standalone: true}},
		{name: "a mirror wants no Basic", header: map[string]string{"Standalone": "mirror"}, want: Ping{}},
		{name: "Quay sends 0", header: map[string]string{"Version": "0.6.0", "Standalone": "0"}, body: "true", want: Ping{Version: "0.6.0"}},
		{name: "the body says it", body: `{"version": "1", "standalone": false}`, want: Ping{Version: "1"}},
		{name: "the header overrules the body", header: map[string]string{"Standalone": "true"}, body: `{"standalone": false}`, want: Ping{Standalone: true}},
		{name: "null says nothing", body: `{"version": null, "standalone": null}`, want: Ping{Standalone: true}},
		{name: "golang_impl", header: map[string]string{"Version": "0.0.1"}, body: "pong", want: Ping{Version: "0.0.1", Standalone: true}},
	}
	for _, row := range rows {
		h := http.Header{}
		for name, value := range row.header {
			h.Set("X-Docker-Registry-"+name, value)
		}
		if diff := cmp.Diff(row.want, parsePing(0, h, []byte(row.body))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}

func TestPingTakesAnyAnswer(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 401, 403, 404, 500} {
		_, c := registry(t, v1test.Quirks{PingStatus: status, Ping: "<html>no</html>"})
		got, err := c.Ping(t.Context())
		if err != nil || got.Status != status {
			t.Errorf("status %d: %+v, %v", status, got, err)
		}
	}
}

func TestPingReadsOnlyTheBeginning(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	const most = 64 << 20
	written := make(chan int, 1)
	srv.Fail(v1test.Failure{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for n < most {
			m, err := w.Write(make([]byte, 64<<10))
			if n += m; err != nil {
				break
			}
		}
		written <- n
	})})
	if got, err := c.Ping(t.Context()); err != nil || got.Status != 200 {
		t.Errorf("%+v, %v", got, err)
	}
	if n := <-written; n >= most {
		t.Errorf("%d bytes were read", n)
	}
}

// More than the limit is neither kept nor read.
func TestReadAll(t *testing.T) {
	t.Parallel()
	if got, err := readAll(strings.NewReader("12345"), 5); string(got) != "12345" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	beyond := io.MultiReader(strings.NewReader("123456"), iotest.ErrReader(io.ErrClosedPipe))
	if got, err := readAll(beyond, 5); got != nil || !errors.Is(err, errTooLarge) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPingWithoutAnswer(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	srv.Close()
	_, err := c.Ping(t.Context())
	if err == nil || !strings.Contains(err.Error(), "Registry v1 at http://"+srv.Host+"/v1/: GET _ping: ") {
		t.Errorf("error %v", err)
	}
}

func TestHTTPSNeverBecomesHTTP(t *testing.T) {
	t.Parallel()
	srv, c := registry(t, v1test.Quirks{})
	c.Scheme = ""
	_, err := c.Image(t.Context(), "busybox", "latest")
	if err == nil || !strings.Contains(err.Error(), "speaks plain HTTP") {
		t.Errorf("error %v", err)
	}
	if got := srv.URIs(); len(got) != 0 {
		t.Errorf("requests in the clear: %q", got)
	}
}
