package certtest

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// WriteMany creates host directories below root, each with the same pairs, and returns
// the hosts' names. The pairs are client0 and so on, and expire a day apart, from a
// year from now on.
func WriteMany(root string, hosts, pairs int) (names []string, err error) {
	ca := NewCA("clients")
	var all []*Pair
	for i := range pairs {
		all = append(all, ca.Issue(Request{CommonName: fmt.Sprintf("client %d", i), NotAfter: time.Now().AddDate(1, 0, i)}))
	}
	for i := range hosts {
		name := fmt.Sprintf("registry%04d.test", i)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		for j, p := range all {
			if err := p.Write(dir, fmt.Sprintf("client%d", j)); err != nil {
				return nil, err
			}
		}
		names = append(names, name)
	}
	return names, nil
}
