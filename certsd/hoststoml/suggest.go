package hoststoml

import (
	"strings"
)

// otherNames are words for a key that other programs or earlier formats use.
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

// nearest is the known word that was probably meant, empty if there is none.
func nearest(word string, known []string) string {
	folded := strings.ReplaceAll(strings.ToLower(word), "-", "_")
	if other := otherNames[folded]; other != "" {
		folded = other
	}
	best, limit := "", 3
	for _, candidate := range known {
		// Two letters of a short word make another word of it.
		if d := distance(folded, candidate); d < limit && d < (len(candidate)+1)/2 {
			best, limit = candidate, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour to make b of a.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			change := rows[i][j]
			if a[i] != b[j] {
				change++
			}
			d := min(change, rows[i][j+1]+1, rows[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, rows[i-1][j-1]+1)
			}
			rows[i+1][j+1] = d
		}
	}
	return rows[len(a)][len(b)]
}
