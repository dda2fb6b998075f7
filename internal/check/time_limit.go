package check

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

const (
	// wholeTimeout bounds everything asked about a registry, even if it never answers.
	// Its servers share two thirds of it, each leaving time for the next.
	wholeTimeout = time.Minute
	// waits is how often an answer is waited for: with each certificate alone, in a
	// pull's first request, and in the pull.
	waits = 3
	// patience is how many times the bound a check may take while slow answers come.
	patience = 5
)

func (c *Checker) whole() time.Duration { return cmp.Or(c.limit, wholeTimeout) }

// clock bounds the requests about one registry.
type clock struct {
	whole time.Duration
	since func(time.Time) time.Duration
	// slow is how long the answers received so far took.
	slow time.Duration
}

// clock returns a clock for a whole check.
func (c *Checker) clock() *clock {
	since := c.since
	if since == nil {
		since = time.Since
	}
	return &clock{whole: c.whole(), since: since}
}

// share returns a bound that begins now. Time spent on answers that came does not count
// against it, once for each of the waits: a registry that is slow with each of many
// certificates still answers.
func (c *clock) share(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	begun, before := time.Now(), c.extra()
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithDeadline(ctx, begun.Add(d+c.extra()-before))
	}
}

// extra returns the time by which slow answers extend a bound.
func (c *clock) extra() time.Duration { return min(waits*c.slow, (patience-1)*c.whole) }

// answered records an answer to a request made at a time.
func (c *clock) answered(at time.Time) {
	c.slow += c.since(at)
}

// waiting announces what is waited for, within the bounds of ctx.
func (c *Checker) waiting(ctx context.Context, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	if c.Waiting != nil {
		c.Waiting(what)
	}
	if c.asks != nil {
		c.asks(ctx, what)
	}
}
