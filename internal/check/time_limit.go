package check

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

const (
	// wholeTimeout bounds all that is asked about a registry: what never answers
	// is left after it. Its servers share two thirds of it, so that one leaves
	// time for the next.
	wholeTimeout = time.Minute
	// waits is how often an answer is waited for: of each certificate alone, in
	// what a pull asks first, and in the pull.
	waits = 3
	// patience is how many times the bound all may take where answers come, and
	// come slowly.
	patience = 5
)

func (c *Checker) whole() time.Duration { return cmp.Or(c.limit, wholeTimeout) }

// clock bounds what is asked about one registry.
type clock struct {
	whole time.Duration
	since func(time.Time) time.Duration
	// slow is how long the answers took that came.
	slow time.Duration
}

// clock begins with the bound for all.
func (c *Checker) clock() *clock {
	since := c.since
	if since == nil {
		since = time.Since
	}
	return &clock{whole: c.whole(), since: since}
}

// share returns a bound that begins now. What an answer took that came does not count
// in it, each time it is waited for: a registry that is slow for each of many
// certificates is not one that never answers.
func (c *clock) share(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	begun, before := time.Now(), c.extra()
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, begun.Add(d+c.extra()-before))
	}
}

// extra returns what the answers that came took, each time they are waited for.
func (c *clock) extra() time.Duration { return min(waits*c.slow, (patience-1)*c.whole) }

// answered notes that an answer came to what was asked at a time.
func (c *clock) answered(at time.Time) {
	c.slow += c.since(at)
}

// waiting says what is waited for from now on, within the bounds of ctx.
func (c *Checker) waiting(ctx context.Context, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if c.Waiting != nil {
		c.Waiting(what)
	}
	if c.asks != nil {
		c.asks(ctx, what)
	}
}
