package hoststoml

import (
	"strings"

	"github.com/certsd/containerd-certsd/internal/spelling"
)

// otherNames maps words in other programs or earlier formats to the keys here.
var otherNames = map[string]string{
	"endpoint":             "host",
	"endpoints":            "host",
	"hosts":                "host",
	"mirror":               "host",
	"mirrors":              "host",
	"ca_file":              "ca",
	"cacert":               "ca",
	"cafile":               "ca",
	"cert":                 "client",
	"cert_file":            "client",
	"key":                  "client",
	"key_file":             "client",
	"insecure":             "skip_verify",
	"insecure_skip_verify": "skip_verify",
	"timeout":              "dial_timeout",
}

// nearest returns the known word that was probably meant, empty for none.
func nearest(word string, known []string) string {
	folded := strings.ReplaceAll(strings.ToLower(word), "-", "_")
	if other := otherNames[folded]; other != "" {
		folded = other
	}
	best, limit := "", 3
	for _, candidate := range known {
		// Changing two letters of a short word makes it another word.
		if d := spelling.Distance(folded, candidate); d < limit && d < (len(candidate)+1)/2 {
			best, limit = candidate, d
		}
	}
	return best
}
