package certsd

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/certsd/containerd-certsd/internal/certtest"
)

// TestARefusedPairThatWasRenewedIsNoFailure: the pair is replaced after the request
// was on its way with the old one.
func TestARefusedPairThatWasRenewedIsNoFailure(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*atomic.Pointer[func()]) serverOptions{
		"a handshake": func(renew *atomic.Pointer[func()]) serverOptions {
			return serverOptions{auth: tls.RequireAnyClientCert, refuse: func(client string) error {
				if client == "old" {
					(*renew.Load())()
					return errors.New("has ended")
				}
				return nil
			}}
		},
		"nginx's 400": func(renew *atomic.Pointer[func()]) serverOptions {
			return serverOptions{auth: tls.RequireAnyClientCert, handle: func(w http.ResponseWriter, _ *http.Request, client string) {
				if client == "old" {
					(*renew.Load())()
					w.WriteHeader(http.StatusBadRequest)
					_, _ = w.Write([]byte("<title>400 The SSL certificate error</title>"))
				}
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var renew atomic.Pointer[func()]
			nothing := func() {}
			renew.Store(&nothing)
			s := newTLSServer(t, answer(&renew))
			dir := newCertsDir(t)
			path := dir.add(t, s.host)
			put := func(pair *certtest.Pair) {
				t.Helper()
				if err := pair.Write(path, "client"); err != nil {
					t.Error(err)
				}
			}
			put(pairOf("old"))
			tr := dir.transport(t)
			if status, err := send(t, tr, newRequest(t.Context(), t, http.MethodGet, s.URL+"/v2/", "")); err == nil && status == http.StatusOK {
				t.Fatal("what was not renewed is accepted")
			}
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				put(pairOf("old"))
				s.takeAll()
				replace := func() { put(pairOf("new")) }
				renew.Store(&replace)
				body := ""
				if method == http.MethodPost {
					body = "posted"
				}
				if status, err := send(t, tr, newRequest(t.Context(), t, method, s.URL+"/v2/", body)); method == http.MethodGet && (err != nil || status != http.StatusOK) {
					t.Errorf("%s: %d %v", method, status, err)
				}
				if seen := s.clients(); method == http.MethodGet && (len(seen) == 0 || seen[len(seen)-1] != "new") {
					t.Errorf("%s: seen were %v", method, seen)
				}
			}
		})
	}
}

// hourly is a client certificate that is renewed at half its life, in each of the
// ways in which that is done.
type hourly struct {
	t   *testing.T
	ca  *certtest.CA
	dir string
	n   int
}

// issue makes the next pair, as a bundle with the key behind the certificate or
// before it.
func (h *hourly) issue() []byte {
	h.n++
	now := time.Now()
	pair := h.ca.Issue(certtest.Request{CommonName: "hourly", NotBefore: now, NotAfter: now.Add(time.Hour)})
	if h.n%2 == 0 {
		return slices.Concat(pair.KeyPEM, h.ca.PEM, pair.CertPEM)
	}
	return slices.Concat(pair.CertPEM, h.ca.PEM, pair.KeyPEM)
}

func (h *hourly) check(err error) {
	if err != nil {
		h.t.Helper()
		h.t.Fatal(err)
	}
}

// renew writes the next pair; between is called where it is half written.
func (h *hourly) renew(between func()) {
	bundle, path := h.issue(), filepath.Join(h.dir, "client.cert")
	switch h.n % 3 {
	case 0: // a rename
		next := filepath.Join(h.dir, ".client.new")
		h.check(os.WriteFile(next, bundle, 0o600))
		between()
		h.check(os.Rename(next, path))
	case 1: // in place
		if link, err := os.Lstat(path); err == nil && link.Mode()&os.ModeSymlink != 0 {
			h.check(os.Remove(path))
			h.check(os.WriteFile(path, bundle, 0o600))
			break
		}
		h.check(os.WriteFile(path, bundle[:len(bundle)/3], 0o600))
		h.check(os.Chtimes(path, time.Now(), time.Now()))
		between()
		h.check(os.WriteFile(path, bundle, 0o600))
		h.check(os.Chtimes(path, time.Now().Add(time.Second), time.Now().Add(time.Second)))
	case 2: // the links of Kubernetes
		data := filepath.Join(h.dir, "..data")
		to := filepath.Join(h.dir, "..version-"+time.Now().UTC().Format("20060102150405"))
		h.check(os.Mkdir(to, 0o700))
		h.check(os.WriteFile(filepath.Join(to, "client.cert"), bundle, 0o600))
		h.check(os.Symlink(filepath.Base(to), data+".new"))
		between()
		h.check(os.Rename(data+".new", data))
		h.check(os.Symlink(filepath.Join("..data", "client.cert"), path+".new"))
		h.check(os.Rename(path+".new", path))
	}
}
