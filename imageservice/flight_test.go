package imageservice

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPullsOfOneReferenceShareADownload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var pulls atomic.Int32
		pull := func(ctx context.Context) (string, error) {
			pulls.Add(1)
			time.Sleep(time.Second)
			return "id", ctx.Err()
		}
		var all sync.WaitGroup
		for i := range 100 {
			key := flightKey{asked: "a"}
			if i%10 == 0 {
				key.auth.user = "anna" // hers is another pull
			}
			all.Go(func() {
				if id, err := f.join(t.Context(), key, pull); id != "id" || err != nil {
					t.Errorf("got %q %v", id, err)
				}
			})
		}
		all.Wait()
		if n := pulls.Load(); n != 2 {
			t.Errorf("%d pulls", n)
		}
		<-f.none()
	})
}

func TestAPullEndsWithTheLastWhoWantsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f flights
		var ended atomic.Value
		pull := func(ctx context.Context) (string, error) {
			<-ctx.Done()
			ended.Store(context.Cause(ctx))
			time.Sleep(time.Minute) // it takes its time
			return "", ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go f.join(ctx, flightKey{}, pull) //nolint:errcheck // it is cancelled
		}
		other, cancelOther := context.WithCancel(t.Context())
		go f.join(other, flightKey{}, pull) //nolint:errcheck // it is cancelled
		synctest.Wait()
		cancel()
		synctest.Wait()
		if ended.Load() != nil {
			t.Fatal("one is left who wants it")
		}
		cancelOther()
		synctest.Wait()
		if err, _ := ended.Load().(error); !errors.Is(err, errUnwanted) {
			t.Fatalf("ended with %v", err)
		}
		// Whoever comes now gets another pull, not the end of this one.
		if id, err := f.join(t.Context(), flightKey{}, func(context.Context) (string, error) { return "new", nil }); id != "new" || err != nil {
			t.Errorf("got %q %v", id, err)
		}
		began := time.Now()
		<-f.none()
		if time.Since(began) != time.Minute {
			t.Error("a pull that nobody wants any more is not waited for")
		}
	})
}

func TestStoppedFlights(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f flights
		done := make(chan error, 1)
		go func() {
			_, err := f.join(t.Context(), flightKey{}, func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "", context.Cause(ctx)
			})
			done <- err
		}()
		synctest.Wait()
		f.cancel()
		if err := <-done; !errors.Is(err, errStopping) {
			t.Error(err)
		}
		if _, err := f.join(t.Context(), flightKey{}, nil); !errors.Is(err, errStopping) {
			t.Error(err)
		}
	})
}

func TestKeyedLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l keyedLocks
		must(t, l.Lock(t.Context(), "a"))
		must(t, l.Lock(t.Context(), "b"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		got := make(chan error)
		go func() { got <- l.Lock(t.Context(), "a") }()
		synctest.Wait()
		l.Unlock("a")
		must(t, <-got)
		l.Unlock("a")
		l.Unlock("b")
		if len(l.byKey) > 0 {
			t.Errorf("%d locks are kept", len(l.byKey))
		}
	})
}

func TestAPullWithoutProgressEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, w := watchProgress(t.Context(), "registry.test/app:1", time.Minute)
		time.Sleep(10 * time.Minute) // nothing is under way
		w.active.Add(1)
		for range 10 {
			time.Sleep(50 * time.Second)
			w.received.Add(1)
		}
		if ctx.Err() != nil {
			t.Fatal("it was ended while something came")
		}
		began := time.Now()
		<-ctx.Done()
		if took := time.Since(began); took < 50*time.Second || took > 100*time.Second {
			t.Errorf("it was ended after %s", took)
		}
		var none *noProgressError
		if err := w.end(ctx.Err()); !errors.As(err, &none) {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, w := watchProgress(t.Context(), "registry.test/app:1", 0)
		w.active.Add(1)
		time.Sleep(24 * time.Hour)
		if ctx.Err() != nil {
			t.Error("it was ended where there is no limit")
		}
		must(t, w.end(nil))
	})
}
