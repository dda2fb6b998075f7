// Package settings reads the settings of this module's daemons. They are a struct:
// each field is a key of a TOML file, named by its tag toml, and a flag of
// the same name with dashes, whose help is in its tag usage.
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
	// Key is its name in the file.
	Key, Usage string
	// Value points to the field: a *string, also to one of a string type, *bool, *int, *[]string or a [Text].
	Value any
}

// Text is a setting of a type of its own.
type Text interface {
	encoding.TextUnmarshaler
	fmt.Stringer
}

// Of returns all keys of a struct that config points to, in the order of the fields.
// The keys of an embedded struct stand in its place.
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

// pointer returns the pointer to a field: a *string to one of a type that is a string
// and has no text of its own.
func pointer(field reflect.Value) any {
	p := field.Addr()
	if _, ok := reflect.TypeAssert[Text](p); !ok && field.Kind() == reflect.String {
		p = p.Convert(reflect.TypeFor[*string]())
	}
	return p.Interface()
}

// Load reads a file over what config points to. An unknown key and a value of a
// wrong type are errors that name file, line and key.
func Load(file string, config any) error {
	data, err := plainfile.ReadText(file)
	if err != nil {
		return err
	}
	return Parse(file, data, config)
}
