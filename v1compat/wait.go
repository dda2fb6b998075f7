package v1compat

import (
	"context"
	"time"
)

// wait pauses between two attempts, with a test's sleep if there is one. It
// returns early, and says why, when the context ends.
func wait(ctx context.Context, d time.Duration, sleep func(context.Context, time.Duration) error) error {
	if sleep != nil {
		return sleep(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
