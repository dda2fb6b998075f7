package main

import "strings"

// words are those of a command line as a shell splits it, with | for a space
// inside of one.
func words(line string) []string {
	all := strings.Fields(line)
	for i, word := range all {
		all[i] = strings.ReplaceAll(word, "|", " ")
	}
	return all
}
