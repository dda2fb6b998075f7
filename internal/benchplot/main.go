// Command benchplot draws the results of comparing benchmarks for the documentation: it
// reads the output of "go test -bench" (read.go) and writes a picture (draw.go). "make
// bench" runs it.
package main

import (
	"fmt"
	"os"
)

func main() {
	results, err := read(os.Stdin)
	if err == nil {
		err = draw(os.Stdout, results)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchplot:", err)
		os.Exit(1)
	}
}
