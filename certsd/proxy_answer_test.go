package certsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// What a proxy answers is told as that, with what to do, and leads to no other
// certificate.
func TestProxyAnswersAreTheProxys(t *testing.T) {
	t.Parallel()
	for status, next := range map[int]string{
		http.StatusForbidden:         "-> correct HTTPS_PROXY, put 127.0.0.1 into NO_PROXY, or have the proxy PROXY let this through",
		http.StatusProxyAuthRequired: "-> the proxy PROXY requires a user and a password: add them to HTTPS_PROXY (http://USER:PASSWORD@HOST:PORT), or put 127.0.0.1 into NO_PROXY",
		http.StatusUnauthorized:      "-> the proxy PROXY requires a user and a password: add them to HTTPS_PROXY",
		http.StatusBadGateway:        "-> correct HTTPS_PROXY",
	} {
		connects := 0
		proxied := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			connects++
			w.WriteHeader(status)
		}))
		t.Cleanup(proxied.Close)
		s := newTLSServer(t, serverOptions{auth: tls.RequestClientCert})
		dir := newCertsDir(t)
		dir.add(t, s.host, "alpha", "beta")
		tr := dir.transport(t)
		through(t, tr, s.host, proxied)
		ctx, trail := WithTrail(t.Context())
		_, err := send(t, view(t, tr, s.host, nil), newRequest(ctx, t, http.MethodHead, s.URL+"/v2/app/manifests/1", ""))
		var told *ProxyError
		if !errors.As(err, &told) || told.Status != status || told.Proxy != proxied.URL || told.Host != s.host {
			t.Fatalf("%d: %v", status, err)
		}
		text := strings.ReplaceAll(trail.String(), proxied.URL, "PROXY")
		if !strings.Contains(text, fmt.Sprintf("  proxy: HEAD %s/v2/app/manifests/1: proxy PROXY answers %d ", s.URL, status)) || !strings.Contains(text, next) || strings.Contains(text, ".cert") {
			t.Errorf("%d:\n%s", status, text)
		}
		if connects != 1 || len(s.take()) > 0 {
			t.Errorf("%d: the proxy was asked %d times", status, connects)
		}
	}
	var fromEnvironment *hostdir.Proxy
	secret := &url.URL{Scheme: "http", Host: "proxy.test:3128", User: url.UserPassword("jo", "hush")}
	err := fromEnvironment.Answered(t.Context(), secret, &http.Request{Host: "r.test:443"}, &http.Response{StatusCode: 407})
	if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "proxy http://proxy.test:3128 answers 407 Proxy Authentication Required to CONNECT r.test:443") {
		t.Errorf("%v", err)
	}
	if err := fromEnvironment.Answered(t.Context(), secret, &http.Request{}, &http.Response{StatusCode: 200}); err != nil {
		t.Error(err)
	}
}

// What fails before TLS is spoken is told as that of the connection, or of the
// proxy that is to lead there, with what to do: no client certificate was seen.
func TestWhatFailsBeforeTLS(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		// say is what whoever is connected to writes before the end.
		say   string
		proxy bool
		want  string
	}{
		"it ends":              {"", false, "  connection: HEAD URL: EOF\n  -> server HOST closes the connection before the TLS handshake is done: check the port and the server's log\n"},
		"another protocol":     {"SSH-2.0-OpenSSH_9.2\r\n", false, "  connection: HEAD URL: tls: first record does not look like a TLS handshake\n  -> what listens at HOST does not speak TLS: check the port\n"},
		"plain HTTP":           {"HTTP/1.1 400 Bad Request\r\n\r\n", false, "-> server HOST answers in plain HTTP where TLS is expected: correct the port; if it is meant to be plain HTTP, write server = \"http://HOST\" into hosts.toml, without ca and client\n"},
		"a proxy that ends":    {"", true, "  proxy: HEAD URL: proxy http://HOST does not lead to reg.test:5000: unexpected EOF\n  -> check that the proxy is running, correct HTTPS_PROXY, or put reg.test into NO_PROXY\n"},
		"a proxy that is none": {"SSH-2.0-OpenSSH_9.2\r\n", true, "  proxy: HEAD URL: proxy http://HOST does not lead to reg.test:5000: malformed HTTP response \"SSH-2.0-OpenSSH_9.2\"\n"},
		"a tunnel that ends":   {"HTTP/1.1 200 OK\r\n\r\n", true, "  connection: HEAD URL: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 4096))
					_, _ = c.Write([]byte(tt.say))
					c.Close()
				}
			}()
			host := l.Addr().String()
			dir := newCertsDir(t)
			if tt.proxy {
				host = "reg.test:5000"
			}
			dir.add(t, host, "alpha", "beta")
			tr := dir.transport(t)
			if tt.proxy {
				through(t, tr, host, &httptest.Server{URL: "http://" + l.Addr().String()})
			}
			ctx, trail := WithTrail(t.Context())
			url := "https://" + host + "/v2/app/manifests/1"
			if _, err = send(t, view(t, tr, host, nil), newRequest(ctx, t, http.MethodHead, url, "")); err == nil {
				t.Fatal("no error")
			}
			got := strings.NewReplacer(url, "URL", l.Addr().String(), "HOST").Replace(trail.String())
			if !strings.Contains(got, tt.want) || strings.Contains(got, ".cert") {
				t.Errorf("%v\n%s\nwant: %s", err, got, tt.want)
			}
		})
	}
}
