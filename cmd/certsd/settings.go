package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/certsd/containerd-certsd/internal/settings"
)

// settingFlags returns a daemon's settings as flags.
func settingFlags(list []settings.Setting) []cli.Flag {
	var flags []cli.Flag
	for _, s := range list {
		name := strings.ReplaceAll(s.Key, "_", "-")
		switch v := s.Value.(type) {
		case *string:
			flags = append(flags, &cli.StringFlag{Name: name, Usage: s.Usage, Value: *v})
		case *bool:
			flags = append(flags, &cli.BoolFlag{Name: name, Usage: s.Usage, Value: *v})
		case *int:
			flags = append(flags, &cli.IntFlag{Name: name, Usage: s.Usage, Value: *v})
		case *[]string:
			flags = append(flags, &cli.StringSliceFlag{Name: name, Usage: s.Usage, Value: *v})
		case settings.Text:
			flags = append(flags, &cli.StringFlag{Name: name, Usage: s.Usage, Value: v.String()})
		}
	}
	return flags
}

// setFlags overrides settings with the flags that were given.
func setFlags(list []settings.Setting, c *cli.Command) error {
	var errs []error
	for _, s := range list {
		name := strings.ReplaceAll(s.Key, "_", "-")
		if !c.IsSet(name) {
			continue
		}
		switch v := s.Value.(type) {
		case *string:
			*v = c.String(name)
		case *bool:
			*v = c.Bool(name)
		case *int:
			*v = c.Int(name)
		case *[]string:
			*v = c.StringSlice(name)
		case settings.Text:
			if err := v.UnmarshalText([]byte(c.String(name))); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}
