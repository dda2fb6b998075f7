package check

import (
	"testing"
	"time"
)

// TestFirstEnd: the end that comes first is shown, whoever's it is and wherever it
// stands, and nothing of a directory that another one has taken the place of.
func TestFirstEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	cert := func(days int, words string) []Certificate {
		return []Certificate{{NotAfter: now.AddDate(0, 0, days), Validity: "expires " + words}}
	}
	directory := func(state string, ca, client []Certificate) Directory {
		return Directory{State: state, Files: []File{{Kind: kindCA, Certificates: ca}, {Kind: kindClient, Certificates: client}}}
	}
	live := func(chain []Certificate) []*Endpoint {
		return []*Endpoint{{Live: &Live{TLS: &TLS{Chain: chain}}}}
	}
	for name, tt := range map[string]struct {
		registry Registry
		want     string
	}{
		"nothing":                  {Registry{}, ""},
		"a server without TLS":     {Registry{Endpoints: []*Endpoint{{Live: &Live{}}, {}}}, ""},
		"the client's, the second": {Registry{Directories: []Directory{directory("used", cert(30, "late"), cert(2, "soon"))}}, "soon"},
		"the CA's, the first":      {Registry{Directories: []Directory{directory("used", cert(2, "soon"), cert(30, "late"))}}, "soon"},
		"the server's": {
			Registry{Directories: []Directory{directory("used", cert(30, "late"), cert(31, "later"))}, Endpoints: live(cert(1, "at once"))}, "at once",
		},
		"not the server's": {
			Registry{Directories: []Directory{directory("used", cert(30, "late"), cert(3, "soon"))}, Endpoints: live(cert(9, "then"))}, "soon",
		},
		"not that of a directory that does not count": {
			Registry{Directories: []Directory{directory("unused", cert(1, "never"), nil), directory("used", nil, cert(5, "soon"))}}, "soon",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := firstEnd(&tt.registry); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
