// Package jsonwords explains errors in JSON to the people who wrote it, without a
// parser's jargon and without the names of Go types.
package jsonwords

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Of returns an error of encoding/json in plain words, and any other error unchanged.
// Call it before wrapping the error: it drops the text of wrappers.
func Of(err error) error {
	var form *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &form) && strings.HasPrefix(form.Error(), "unexpected end"):
		return &worded{"it is not valid JSON: it ends too early", err}
	case form != nil:
		return &worded{fmt.Sprintf("it is not valid JSON from byte %d on", max(1, form.Offset)), err}
	case errors.As(err, &wrong):
		return &worded{misplaced(wrong), err}
	}
	return err
}

// worded is an error in other words.
type worded struct {
	text string
	err  error
}

func (w *worded) Error() string { return w.text }

// Unwrap returns the parser's error.
func (w *worded) Unwrap() error { return w.err }

// misplaced describes a value of the wrong type, and where it is.
func misplaced(wrong *json.UnmarshalTypeError) string {
	value, place := article(wrong.Value), ", which does not belong there"
	if number, ok := strings.CutPrefix(wrong.Value, "number "); ok {
		value = "the number " + number
	} else if wanted := kind(wrong.Type); wanted != "" && wanted != value {
		place = " where " + wanted + " belongs"
	}
	if wrong.Field == "" {
		return "it is JSON, but " + value + place
	}
	return "its " + wrong.Field + " is " + value + place
}

func article(value string) string {
	switch value {
	case "array":
		return "a list"
	case "bool":
		return "true or false"
	case "object":
		return "an object"
	default:
		return "a " + value
	}
}

// kind describes how a type is written in JSON, empty if there are several ways.
func kind(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch k := t.Kind(); {
	case k == reflect.Struct, k == reflect.Map:
		return "an object"
	case k == reflect.Slice && t.Elem().Kind() != reflect.Uint8, k == reflect.Array:
		return "a list"
	case k == reflect.String, k == reflect.Slice:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case t.ConvertibleTo(reflect.TypeFor[float64]()):
		return "a number"
	default:
		return ""
	}
}
