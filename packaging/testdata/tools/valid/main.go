// Command valid validates files by a JSON Schema, whose parts are files too:
//
//	valid SCHEMA [PART...] -- FILE...
//
// A part is URL=FILE, what the schema refers to by that URL.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "valid:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	end := slices.Index(args, "--")
	if end < 1 || end == len(args)-1 {
		return errors.New("want SCHEMA, its parts as URL=FILE, -- and at least one FILE")
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, part := range args[1:end] {
		url, file, _ := strings.Cut(part, "=")
		schema, err := read(file)
		if err != nil {
			return err
		}
		if err := c.AddResource(url, schema); err != nil {
			return err
		}
	}
	schema, err := c.Compile(args[0])
	if err != nil {
		return err
	}
	for _, file := range args[end+1:] {
		value, err := read(file)
		if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func read(file string) (any, error) {
	f, err := os.Open(file) //nolint:gosec // the caller names it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return jsonschema.UnmarshalJSON(f)
}
