//go:build linux

package integration

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// hostileMain is the command "hostile ADDRESS": a registry in plain HTTP whose
// repositories each attack in another way.
func hostileMain() {
	exit(func(ctx context.Context, args []string) error {
		if len(args) != 1 {
			return errors.New("usage: hostile ADDRESS")
		}
		manifest, err := slowSchema1()
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/v2/", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("/v2/token/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/bomb",service="s"`, args[0]))
			w.WriteHeader(http.StatusUnauthorized)
		})
		mux.HandleFunc("/bomb", bomb)
		mux.HandleFunc("/v2/endless/", endless)
		mux.HandleFunc("/v2/schema1/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
			_, _ = w.Write(manifest)
		})
		stalling(mux)
		echoing(mux, args[0])
		deceiving(mux, args[0])
		paging(mux)
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", args[0])
		if err != nil {
			return err
		}
		server := &http.Server{Handler: mux, ReadHeaderTimeout: clientTime}
		return server.Serve(listener)
	})
}

// bombSize is what a small answer unpacks to: more than a process may take.
const bombSize = 1 << 30

// bomb answers with a token that is short on the way.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	_, _ = io.WriteString(z, `{"token":"`)
	block := []byte(strings.Repeat("A", 1<<20))
	for range bombSize / len(block) {
		if _, err := z.Write(block); err != nil {
			return
		}
	}
	_, _ = io.WriteString(z, `"}`)
	_ = z.Close()
}

// endless answers with a manifest that does not end.
func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	if r.Method == http.MethodHead {
		return
	}
	block := []byte(strings.Repeat(" ", 1<<20))
	for range bombSize / len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// slowSchema1 is a manifest whose signature brings an RSA key of two million
// bits: to verify it would take a processor for minutes.
func slowSchema1() ([]byte, error) {
	encode := base64.RawURLEncoding.EncodeToString
	modulus, signature := make([]byte, 256<<10), make([]byte, 256<<10)
	for _, b := range [][]byte{modulus, signature} {
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
	}
	modulus[0] |= 0x80
	modulus[len(modulus)-1] |= 1
	signature[0] = 0
	payload := `{"schemaVersion":1,"name":"schema1","tag":"1","architecture":"amd64","fsLayers":[{"blobSum":"sha256:` +
		strings.Repeat("e", 64) + `"}],"history":[{"v1Compatibility":"{}"}]`
	protected, err := json.Marshal(map[string]any{"formatLength": len(payload), "formatTail": encode([]byte("}"))})
	if err != nil {
		return nil, err
	}
	signatures, err := json.Marshal([]any{map[string]any{
		"header":    map[string]any{"alg": "RS256", "jwk": map[string]string{"kty": "RSA", "n": encode(modulus), "e": encode([]byte{0x7f, 0xff, 0xff, 0xff})}},
		"signature": encode(signature), "protected": encode(protected),
	}})
	return []byte(payload + `,"signatures":` + string(signatures) + "}"), err
}

// tookMain is the command "took PROGRAM MIB SECONDS": it fails if a process of
// that name ever had more memory, or has used more of a processor.
func tookMain() {
	exit(func(_ context.Context, args []string) error {
		if len(args) != 3 {
			return errors.New("usage: took PROGRAM MIB SECONDS")
		}
		mib, err1 := strconv.Atoi(args[1])
		seconds, err2 := strconv.Atoi(args[2])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		statuses, err := filepath.Glob("/proc/[0-9]*/status")
		if err != nil {
			return err
		}
		found := 0
		for _, file := range statuses {
			status, err := os.ReadFile(file)
			if err != nil || !strings.HasPrefix(string(status), "Name:\t"+args[0]+"\n") {
				continue
			}
			found++
			_, after, _ := strings.Cut(string(status), "\nVmHWM:")
			kib, err := strconv.Atoi(strings.Fields(after)[0])
			if err != nil {
				return err
			}
			used, err := processorTime(filepath.Dir(file))
			if err != nil {
				return err
			}
			fmt.Printf("%s: at most %d MiB, %s\n", args[0], kib>>10, used)
			if kib>>10 > mib || used > time.Duration(seconds)*time.Second {
				return fmt.Errorf("more than %d MiB or %d s", mib, seconds)
			}
		}
		if found == 0 {
			return fmt.Errorf("no process %s", args[0])
		}
		return nil
	})
}

// processorTime is what a process has used, by its fields 14 and 15: proc(5).
// The kernel counts in hundredths of a second.
func processorTime(proc string) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
