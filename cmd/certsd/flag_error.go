package main

import (
	"errors"
	"regexp"
)

// badValue matches the library's error for a value that package strconv or time
// rejected.
var badValue = regexp.MustCompile(`^invalid value (".*") for flag -(\S+): (?:strconv\.Parse(\w+): parsing .*: (.*)|(parse error)|time: (?:invalid|unknown|missing).*)$`)

// flagError rewrites an error of the command line with the flag as it was typed and
// with what its value must be, instead of the standard library's words.
func flagError(err error) error {
	m := badValue.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	value, flag := m[1], "--"+m[2]
	if len(m[2]) == 1 {
		flag = "-" + m[2]
	}
	wanted := "is not a number"
	switch {
	case m[5] != "", m[3] == "Bool":
		wanted = "is neither true nor false"
	case m[3] == "":
		wanted = `is not a duration such as "90s"`
	case m[4] == "value out of range":
		wanted = "is too large or too small"
	}
	return errors.New(flag + ": " + value + " " + wanted)
}
