package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDraw(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := draw(&out, strings.NewReader("$ certsd <check>\x1b[31m & \"\x1b[0m\r\n   indented\x07 ┌─┐\n\n"), "a title & more"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`aria-label="a title &amp; more"`, `class="typed">$ certsd &lt;check&gt; &amp; &#34;</text>`, ">   indented? ┌─┐</text>"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, &out)
		}
	}
	wellFormed(t, "a picture", out.String())
}

// TestDrawingsAreOfTheirTexts holds the drawings of the documents to the texts they
// are made of.
func TestDrawingsAreOfTheirTexts(t *testing.T) {
	t.Parallel()
	texts, err := filepath.Glob("../../docs/pictures/*.txt")
	if err != nil || len(texts) == 0 {
		t.Fatalf("no texts: %v", err)
	}
	for _, file := range texts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		svg, err := os.ReadFile(strings.TrimSuffix(file, ".txt") + ".svg")
		if err != nil {
			t.Errorf("%v: make pictures", err)
			continue
		}
		title, body, _ := strings.Cut(string(text), "\n")
		var out strings.Builder
		if err := draw(&out, strings.NewReader(body), title); err != nil {
			t.Fatal(err)
		}
		if out.String() != string(svg) {
			t.Errorf("%s is another picture than %s makes: make pictures", strings.TrimSuffix(file, ".txt")+".svg", file)
		}
		wellFormed(t, file, string(svg))
	}
}

func wellFormed(t *testing.T, what, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
	}
}
