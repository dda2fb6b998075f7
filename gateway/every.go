package gateway

import "time"

// every calls f at each interval until stop is called. f is not called after stop has
// returned.
func every(interval time.Duration, f func()) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				f()
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}
