// Command benchplot draws what benchmarks that compare have found, for the documents:
// it reads the output of "go test -bench" and writes a picture. It is run by "make bench".
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
