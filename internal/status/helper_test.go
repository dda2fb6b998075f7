package status_test

import (
	"context"
	"strconv"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/internal/status"
)

// roundInto is the hook of a transport.
func roundInto(s *status.State) func(context.Context, certsd.Round) {
	return func(_ context.Context, r certsd.Round) {
		s.Round(r, func(a certsd.Attempt) string {
			if a.Err != nil {
				return "error"
			}
			return strconv.Itoa(a.Status)
		})
	}
}
