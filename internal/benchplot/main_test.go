package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const output = `goos: linux
pkg: example.test/some
BenchmarkPull-2   	       3	        1.500 certsd/stock	 123 certsd-MB/s	 456 certsd-ns	        1.700 client/stock	 2.0 certsd/stock-cpu
BenchmarkPull-2   	       3	        0.500 certsd/stock	        1.700 client/stock
BenchmarkResolve/a<b-16	    1500	         2.500 stock/certsd	         4.000 certsd/bare	  12 B/op	  1 allocs/op
BenchmarkPull-2   	       3	        0.900 certsd/stock
BenchmarkOdd-2   	       3	        NaN certsd/stock	 -1 certsd/bare	 0 cri/stock	 +Inf plugin/stock
PASS
`

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := read(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	want := []result{
		{"Pull", "certsd", "stock", []float64{1.5, 0.5, 0.9}},
		{"Pull", "client", "stock", []float64{1.7, 1.7}},
		{"Resolve/a<b", "certsd", "stock", []float64{0.4}},
		{"Resolve/a<b", "certsd", "bare", []float64{4}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if m := got[0].median(); m != 0.9 {
		t.Errorf("the median is %v", m)
	}
	if m := (result{Ratios: []float64{3, 1}}).median(); m != 2 {
		t.Errorf("the median of two is %v", m)
	}
	for _, none := range []string{"", "PASS\n", "BenchmarkX-2 1 5 ns/op 3 B/op\n"} {
		if _, err := read(strings.NewReader(none)); !errors.Is(err, errNothing) {
			t.Errorf("%q: %v", none, err)
		}
	}
}

func TestDraw(t *testing.T) {
	t.Parallel()
	text := drawn(t, strings.NewReader(output))
	for _, want := range []string{
		">certsd beside stock</text>", `class="bar"`, ">0.90</text>", ">0.40</text>", ">4.00</text>", `class="more"`, ">Resolve/a&lt;b</text>",
		"Pull: certsd beside stock 0.90; Pull: client beside stock 1.70",
		// What is longer than there is room is cut off at twice the time.
		`<rect class="more" x="316" y="149" width="368" height="12"/>`, `<rect class="bar" x="316" y="61" width="165" height="12"/>`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if again := drawn(t, strings.NewReader(output)); again != text {
		t.Error("the same output makes another picture")
	}
}

// TestPictureIsOfItsOutput holds the picture of the documents to the output that it is
// made of, both by "make bench".
func TestPictureIsOfItsOutput(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../docs/pictures/bench.log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	svg, err := os.ReadFile("../../docs/pictures/bench.svg")
	if err != nil {
		t.Fatal(err)
	}
	if drawn(t, f) != string(svg) {
		t.Error("docs/pictures/bench.svg is another picture than docs/pictures/bench.log makes: make bench")
	}
}

// drawn is the picture of an output, which is well-formed.
func drawn(t *testing.T, r io.Reader) string {
	t.Helper()
	results, err := read(r)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := draw(&out, results); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.String())
	return out.String()
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(output)
	f.Add("BenchmarkX\x1b[2J-2 1 2 a/b\nBenchmark\xff 1 1e308 certsd/stock 1e-320 stock/certsd\n")
	f.Fuzz(func(t *testing.T, text string) {
		results, err := read(strings.NewReader(text))
		if err != nil {
			return
		}
		var out strings.Builder
		if err := draw(&out, results); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, out.String())
	})
}
