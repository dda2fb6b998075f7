package v1compat

import (
	"context"
	"time"
)

// wait sleeps for d, with sleep if it is not nil. It returns early, with the cause,
// when the context ends.
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
