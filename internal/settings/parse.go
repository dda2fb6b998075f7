package settings

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/certsd/containerd-certsd/internal/spelling"
	"github.com/certsd/containerd-certsd/internal/tomlpos"
)

// Duration is a time.Duration written as "90s" or "1h30m".
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`%q is not a duration such as "90s" or "1h"`, text)
	}
	if parsed < 0 {
		return fmt.Errorf("%q is negative", text)
	}
	*d = Duration(parsed)
	return nil
}

// String implements fmt.Stringer.
func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes written as "512MiB", "20GiB" or "0".
type Size int64

// sizeUnits are powers of 1024, the largest first.
var sizeUnits = []string{"TiB", "GiB", "MiB", "KiB", "B", ""}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	for i, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), unit)
		if !ok {
			continue
		}
		shift := max(0, 10*(len(sizeUnits)-2-i))
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64>>shift {
			break
		}
		*s = Size(n << shift)
		return nil
	}
	return fmt.Errorf(`%q is not a size such as "512MiB" or "20GiB"`, text)
}

// String implements fmt.Stringer.
func (s Size) String() string {
	for i, unit := range sizeUnits {
		shift := max(0, 10*(len(sizeUnits)-2-i))
		if s != 0 && s%(1<<shift) == 0 {
			return strconv.FormatInt(int64(s)>>shift, 10) + unit
		}
	}
	return "0"
}

// Parse is [Load] for the content of a file.
func Parse(file string, data []byte, config any) error {
	decoder := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	err := decoder.Decode(config)
	if err == nil {
		return nil
	}
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var errs []error
		for i := range strict.Errors {
			errs = append(errs, unknownKey(file, &strict.Errors[i], config))
		}
		return errors.Join(errs...)
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		wrong := tomlpos.Syntax(err)
		text := ofWrongType(wrong.Text)
		if key := strings.Join(decode.Key(), "."); key != "" {
			return fmt.Errorf("%s: %s: %s", wrong.At(file), key, text)
		}
		return fmt.Errorf("%s: %s", wrong.At(file), text)
	}
	return fmt.Errorf("%s: %s", file, tomlpos.Syntax(err).Text)
}

// wrongType matches go-toml's message about a value of the wrong type, which names Go
// types.
var wrongType = regexp.MustCompile(`^cannot decode TOML (\w+) into struct field \S+ of type (\S+)$`)

// typeNames describes the types of settings in plain words.
var typeNames = map[string]string{
	"[]string": `a list of strings, such as ["a", "b"]`, "string": `a string, such as "a"`, "bool": "true or false", "int": "a number",
}

// ofWrongType rewrites a message of go-toml about a wrong type in plain words.
func ofWrongType(text string) string {
	m := wrongType.FindStringSubmatch(text)
	if m == nil || typeNames[m[2]] == "" {
		return text
	}
	return fmt.Sprintf("must be %s, and is of type %s", typeNames[m[2]], m[1])
}

// LogLevels are the values of a setting log_level.
var LogLevels = []string{"debug", "info", "warn", "error"}

// CheckLogLevel returns an error for a value of log_level that is not in [LogLevels].
func CheckLogLevel(level string) error {
	if !slices.Contains(LogLevels, level) {
		return fmt.Errorf("log_level: %q is not one of %s", level, strings.Join(LogLevels, ", "))
	}
	return nil
}

func unknownKey(file string, e *toml.DecodeError, config any) error {
	line, _ := e.Position()
	key := strings.Join(e.Key(), ".")
	if hint := nearest(key, keys(config)); hint != "" {
		return fmt.Errorf("%s:%d: %s: unknown key; did you mean %q?", file, line, key, hint)
	}
	return fmt.Errorf("%s:%d: %s: unknown key", file, line, key)
}

// keys returns the keys of a configuration.
func keys(config any) []string {
	var names []string
	for _, s := range Of(config) {
		names = append(names, s.Key)
	}
	return names
}

// nearest returns the known key that was probably meant, empty for none.
func nearest(key string, known []string) string {
	folded := strings.ReplaceAll(strings.ToLower(key), "-", "_")
	best, limit := "", 4
	for _, candidate := range known {
		if d := spelling.Distance(folded, candidate); d < limit && d < (len(candidate)+1)/2 {
			best, limit = candidate, d
		}
	}
	return best
}
