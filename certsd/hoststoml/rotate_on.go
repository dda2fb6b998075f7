package hoststoml

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// RotateOn is the set of HTTP statuses on which the next client certificate is
// presented. Its zero value is Docker's: 403 and 5xx. It is comparable.
type RotateOn struct {
	// given distinguishes the empty set from the default one.
	given bool
	// bits holds one bit for each status from 400 to 599.
	bits [4]uint64
}

// ParseRotateOn reads a list such as "403", "5xx". Each entry is a status from 400 to
// 599 or the class 4xx or 5xx. nil gives the default, an empty list the empty set. 401
// is an error, and not part of 4xx: it asks for credentials, which no certificate
// provides.
func ParseRotateOn(entries []string) (RotateOn, error) {
	var r RotateOn
	if entries == nil {
		return r, nil
	}
	r.given = true
	for _, entry := range entries {
		low, high, err := parseStatuses(entry)
		if err != nil {
			return RotateOn{}, fmt.Errorf("rotate_on: %q: %w", entry, err)
		}
		for status := low; status <= high; status++ {
			if status != http.StatusUnauthorized {
				r.bits[(status-400)/64] |= 1 << ((status - 400) % 64)
			}
		}
	}
	return r, nil
}

func parseStatuses(entry string) (low, high int, err error) {
	switch entry {
	case "4xx", "5xx":
		low = int(entry[0]-'0') * 100
		return low, low + 99, nil
	case "401":
		return 0, 0, errors.New("asks for credentials and never moves on to another certificate")
	}
	low, err = strconv.Atoi(entry)
	if err != nil || len(entry) != 3 || low < 400 || low > 599 {
		return 0, 0, errors.New(`is neither a status from 400 to 599 nor "4xx" or "5xx"`)
	}
	return low, low, nil
}

// Has reports whether status is in the set.
func (r RotateOn) Has(status int) bool {
	if status < 400 || status > 599 {
		return false
	}
	if !r.given {
		return status == http.StatusForbidden || status >= 500
	}
	return r.bits[(status-400)/64]&(1<<((status-400)%64)) != 0
}

// String lists the set in the form [ParseRotateOn] reads.
func (r RotateOn) String() string {
	var entries []string
	for _, class := range []int{400, 500} {
		var members []string
		full := true
		for status := class; status < class+100; status++ {
			switch {
			case r.Has(status):
				members = append(members, strconv.Itoa(status))
			case status != http.StatusUnauthorized:
				full = false
			}
		}
		if full {
			members = []string{strconv.Itoa(class/100) + "xx"}
		}
		entries = append(entries, members...)
	}
	return strings.Join(entries, ",")
}
