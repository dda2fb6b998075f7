package bounded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// busy is an answer of 429 that asks to wait.
func busy(retryAfter string) func(*http.Request) *http.Response {
	if retryAfter == "" {
		return says(429, "busy")
	}
	return says(429, "busy", "Retry-After", retryAfter)
}

// TestRetryAfterIsWaitedFor as long as it is bearable.
func TestRetryAfterIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		answers  []func(*http.Request) *http.Response
		status   int
		requests int
		took     time.Duration
	}{
		{"seconds", []func(*http.Request) *http.Response{busy("3"), says(200, "")}, 200, 2, 3 * time.Second},
		{"a date", []func(*http.Request) *http.Response{
			func(req *http.Request) *http.Response {
				return busy(time.Now().Add(7 * time.Second).UTC().Format(http.TimeFormat))(req)
			}, says(200, ""),
		}, 200, 2, 7 * time.Second},
		{"a date that is over", []func(*http.Request) *http.Response{busy("Mon, 01 Jan 1990 00:00:00 GMT"), says(200, "")}, 200, 2, 250 * time.Millisecond},
		{"now, again and again", []func(*http.Request) *http.Response{busy("0"), busy("0"), says(200, "")}, 200, 3, 750 * time.Millisecond},
		{"nothing said", []func(*http.Request) *http.Response{busy(""), busy(""), says(200, "")}, 200, 3, 3 * time.Second},
		{"nonsense", []func(*http.Request) *http.Response{busy("soon"), busy("-5"), says(200, "")}, 200, 3, 3 * time.Second},
		{"more than a minute", []func(*http.Request) *http.Response{busy("61")}, 429, 1, 0},
		{"an hour", []func(*http.Request) *http.Response{busy("3600")}, 429, 1, 0},
		{"an age", []func(*http.Request) *http.Response{busy("99999999999999999999")}, 429, 8, 0},
		{"for ever, nothing said", []func(*http.Request) *http.Response{busy("")}, 429, 5, 15 * time.Second},
		{"for ever", []func(*http.Request) *http.Response{busy("50")}, 429, 3, 100 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				rt, n := answers(tt.answers...)
				status, _, err := get(t, rt, request(t, "", "/v2/app/manifests/1"))
				if err != nil || status != tt.status {
					t.Errorf("%d, %v", status, err)
				}
				took := time.Since(begun)
				if tt.name == "an age" { // no number: as if nothing were said
					if took > maxWaits {
						t.Errorf("took %s", took)
					}
					return
				}
				if *n != tt.requests || took != tt.took {
					t.Errorf("%d requests in %s, want %d in %s", *n, took, tt.requests, tt.took)
				}
			})
		})
	}
}

// TestRefusalIsNotAskedForAgainAtOnce repeats a request as containerd does.
func TestRefusalIsNotAskedForAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt, n := answers(busy("3600"), says(200, "fine"))
		ctx, _ := WithAccount(t.Context())
		for range 5 {
			status, text, err := get(t, rt, request(t, "", "/v2/app/manifests/1").WithContext(ctx))
			if status != 429 || text != "busy" || err != nil {
				t.Errorf("%d %q %v", status, text, err)
			}
		}
		if *n != 1 {
			t.Errorf("%d requests", *n)
		}
		if status, text, err := get(t, rt, request(t, "", "/v2/app/manifests/1")); status != 200 || text != "fine" || err != nil {
			t.Errorf("another call: %d %q %v", status, text, err)
		}
		time.Sleep(keep)
		if status, text, err := get(t, rt, request(t, "", "/v2/app/manifests/1").WithContext(ctx)); status != 200 || text != "fine" || err != nil {
			t.Errorf("later: %d %q %v", status, text, err)
		}
	})
}

// TestWhoHasNoTimeDoesNotWait is told at once.
func TestWhoHasNoTimeDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		rt, n := answers(busy("3"), busy("3"), says(200, ""))
		rt.MaxWait = 5 * time.Second
		status, _, err := get(t, rt, request(t, "", "/v2/app/manifests/1"))
		if status != 429 || err != nil || *n != 2 || time.Since(begun) != 3*time.Second {
			t.Errorf("%d %v, %d requests in %s", status, err, *n, time.Since(begun))
		}
	})
}

// TestOthersWaitToo sends nothing to a server that wants to be left alone.
func TestOthersWaitToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var early int
		begun := time.Now()
		rt := &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(begun) < 5*time.Second {
				early++
				return busy("5")(req), nil
			}
			return says(200, "")(req), nil
		})}
		var wg sync.WaitGroup
		ask := func() {
			if status, _, err := get(t, rt, request(t, "", "/v2/app/manifests/1")); status != 200 || err != nil {
				t.Errorf("%d %v", status, err)
			}
		}
		wg.Go(ask)
		time.Sleep(time.Second)
		for range 10 {
			wg.Go(ask)
		}
		wg.Wait()
		if early != 1 {
			t.Errorf("%d requests while it was to be left alone", early)
		}
	})
}

// TestOnlyTheServerIsWaitedFor, and neither another port nor the other scheme of
// its host.
func TestOnlyTheServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rt := &Transport{Next: roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Scheme == "https" && req.URL.Host == "reg.test" {
				return busy("30")(req), nil
			}
			return says(200, "")(req), nil
		})}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := get(t, rt, request(t, "", "/v2/app/manifests/1").WithContext(ctx)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		synctest.Wait()
		begun := time.Now()
		for _, server := range []string{"https://reg.test:5000", "http://reg.test", "https://other.test"} {
			req := request(t, "", "/v2/app/manifests/1")
			req.URL.Scheme, req.URL.Host, _ = strings.Cut(server, "://")
			if status, _, err := get(t, rt, req); status != 200 || err != nil || time.Since(begun) > 0 {
				t.Errorf("%s: %d %v after %s", server, status, err, time.Since(begun))
			}
		}
		cancel()
		wg.Wait()
	})
}

// TestWaitCanBeCancelled ends with the request's context.
func TestWaitCanBeCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		rt, _ := answers(busy("30"))
		_, _, err := get(t, rt, request(t, "", "/v2/app/manifests/1").WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
	})
}

// TestUploadIsRepeatedByWhoHasItsBody waits before it answers.
func TestUploadIsRepeatedByWhoHasItsBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		rt, n := answers(busy("3"), says(201, ""))
		for _, want := range []int{429, 201} {
			req := request(t, http.MethodPut, "/v2/app/manifests/1")
			req.Body = io.NopCloser(strings.NewReader("x"))
			if status, _, err := get(t, rt, req); status != want || err != nil {
				t.Errorf("%d %v", status, err)
			}
		}
		if *n != 2 || time.Since(begun) != 3*time.Second {
			t.Errorf("%d requests in %s", *n, time.Since(begun))
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{"1", "-1", "99999999999", "Mon, 02 Jan 2106 15:04:05 GMT", "Monday, 02-Jan-06 15:04:05 GMT", " 7 "} {
		f.Add(seed)
	}
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		d, ok := RetryAfter(http.Header{"Retry-After": {value}}, now)
		if d < 0 || !ok && d != 0 {
			t.Errorf("%q: %s, %v", value, d, ok)
		}
		if w := waitFor(http.Header{"Retry-After": {value}}, 3); w <= 0 {
			t.Errorf("%q: waits %s", value, w)
		}
	})
}

// TestBodiesAreSentAgain from their beginning, where they can be. What cannot is
// answered after the wait.
func TestBodiesAreSentAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		repeat   bool
		status   int
		requests int
	}{{"that can be had again", true, 201, 3}, {"that cannot", false, 429, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var bodies []string
				reading := func(answer func(*http.Request) *http.Response) func(*http.Request) *http.Response {
					return func(req *http.Request) *http.Response {
						body, err := io.ReadAll(req.Body)
						if bodies = append(bodies, string(body)); err != nil {
							t.Error(err)
						}
						return answer(req)
					}
				}
				rt, n := answers(reading(busy("2")), reading(busy("2")), reading(says(201, "")))
				begun := time.Now()
				req := request(t, http.MethodPut, "/v2/app/manifests/1")
				req.Body = io.NopCloser(strings.NewReader("body"))
				if tt.repeat {
					req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
				}
				status, _, err := get(t, rt, req)
				if err != nil || status != tt.status || *n != tt.requests || strings.Join(bodies, ",") != strings.TrimSuffix(strings.Repeat("body,", *n), ",") {
					t.Errorf("%d %v, %d requests with %q", status, err, *n, bodies)
				}
				if took := time.Since(begun); took < 2*time.Second {
					t.Errorf("nothing was waited for: %s", took)
				}
			})
		})
	}
}
