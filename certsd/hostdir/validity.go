package hostdir

import (
	"crypto/x509"
	"fmt"
	"time"
)

// Validity describes how long a certificate remains valid, such as "expires in 3 days".
func Validity(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(cert.NotBefore):
		return "becomes valid in " + span(cert.NotBefore.Sub(now))
	case now.After(cert.NotAfter):
		return "expired " + span(now.Sub(cert.NotAfter)) + " ago"
	default:
		return "expires in " + span(cert.NotAfter.Sub(now))
	}
}

// Day formats a date for messages.
func Day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// span formats a duration in the largest unit of which it has at least two.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"years", 365 * day}, {"days", day}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		if n := d / unit.size; n >= 2 {
			return fmt.Sprintf("%d %s", n, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
