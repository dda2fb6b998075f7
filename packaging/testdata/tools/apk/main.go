// Command apk installs packages for Alpine into a root of their own, by another
// implementation of their format than the one that made them:
//
//	apk ROOT REPOSITORY NAME[=VERSION]...
//
// Packages are in REPOSITORY, in a directory for each architecture; the index is made
// here. What the database then says is installed is printed, with its files.
package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chainguard-dev/go-apk/pkg/apk"
	"github.com/chainguard-dev/go-apk/pkg/fs"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "apk:", err)
		os.Exit(1)
	}
}

const arch = "x86_64"

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 3 {
		return errors.New("want ROOT, REPOSITORY and at least one NAME")
	}
	root, repository, names := args[0], args[1], args[2:]
	if err := index(ctx, filepath.Join(repository, arch)); err != nil {
		return err
	}
	a, err := apk.New(apk.WithFS(fs.DirFS(root)), apk.WithArch(arch), apk.WithIgnoreMknodErrors(true), apk.WithNoSignatureIndexes(repository))
	if err != nil {
		return err
	}
	if err := a.InitDB(ctx); err != nil {
		return err
	}
	if err := a.SetRepositories(ctx, []string{repository}); err != nil {
		return err
	}
	if err := a.SetWorld(ctx, names); err != nil {
		return err
	}
	made := time.Unix(0, 0)
	if err := a.FixateWorld(ctx, &made); err != nil {
		return err
	}
	installed, err := a.GetInstalled()
	if err != nil {
		return err
	}
	for _, p := range installed {
		fmt.Fprintf(out, "%s %s %s: %s\n", p.Name, p.Version, p.License, strings.Join(p.Dependencies, " "))
		for _, f := range p.Files {
			if f.Typeflag != tar.TypeDir {
				fmt.Fprintf(out, "  %s\n", f.Name)
			}
		}
	}
	return nil
}

// index writes the index of a directory of packages.
func index(ctx context.Context, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.apk"))
	if err != nil {
		return err
	}
	all := new(apk.APKIndex)
	for _, file := range files {
		p, err := parse(ctx, file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		// A repository is asked for this name.
		if err := os.Rename(file, filepath.Join(dir, p.Filename())); err != nil { //nolint:gosec // packages of this project
			return err
		}
		all.Packages = append(all.Packages, p)
	}
	archive, err := apk.ArchiveFromIndex(all)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(archive)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "APKINDEX.tar.gz"), data, 0o600) //nolint:gosec // where the caller says
}

func parse(ctx context.Context, file string) (*apk.Package, error) {
	f, err := os.Open(file) //nolint:gosec // the caller names it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return apk.ParsePackage(ctx, f)
}
