// Package settings reads the settings of this module's daemons into a struct: each
// field is a key of a TOML file, named by its tag toml, and a flag of the same name
// with dashes, whose help is in its tag usage.
package settings

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/certsd/containerd-certsd/internal/plainfile"
)

// Setting is one key.
type Setting struct {
	// Key is its name in the file, Usage the help of its flag.
	Key, Usage string
	// Value points to the field: a *string, also for other string types, *bool, *int,
	// *[]string or a [Text].
	Value any
}

// Text is implemented by settings of other types.
type Text interface {
	encoding.TextUnmarshaler
	fmt.Stringer
}

// Of returns all keys of the struct that config points to, in the order of the fields.
// The keys of an embedded struct take its place.
func Of(config any) []Setting {
	v := reflect.ValueOf(config).Elem()
	list := make([]Setting, 0, v.NumField())
	for _, field := range reflect.VisibleFields(v.Type()) {
		if field.Anonymous {
			continue // its fields follow
		}
		list = append(list, Setting{
			Key:   field.Tag.Get("toml"),
			Usage: strings.ReplaceAll(field.Tag.Get("usage"), "'", "`"),
			Value: pointer(v.FieldByIndex(field.Index)),
		})
	}
	return list
}

// pointer returns the pointer to a field: a *string if its type is a string that does
// not implement Text.
func pointer(field reflect.Value) any {
	p := field.Addr()
	if _, ok := reflect.TypeAssert[Text](p); !ok && field.Kind() == reflect.String {
		p = p.Convert(reflect.TypeFor[*string]())
	}
	return p.Interface()
}

// Load reads a file on top of what config points to. Unknown keys and values of a wrong
// type are errors that name file, line and key.
func Load(file string, config any) error {
	data, err := plainfile.ReadText(file)
	if err != nil {
		return err
	}
	return Parse(file, data, config)
}
