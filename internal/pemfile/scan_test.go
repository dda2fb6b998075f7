package pemfile_test

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/certtest"
	"github.com/certsd/containerd-certsd/internal/pemfile"
)

var (
	oneCA = certtest.NewCA("one")
	twoCA = certtest.NewCA("two")
	one   = string(oneCA.PEM)
	two   = string(twoCA.PEM)
)

// found names what a file has: the CAs, and what cannot be read.
func found(data string) []string {
	var got []string
	for _, b := range pemfile.Scan([]byte(data)) {
		switch {
		case b.Err != nil:
			got = append(got, b.Err.Error())
		case bytes.Equal(b.Bytes, oneCA.Cert.Raw):
			got = append(got, b.Label+" one")
		case bytes.Equal(b.Bytes, twoCA.Cert.Raw):
			got = append(got, b.Label+" two")
		default:
			got = append(got, fmt.Sprintf("%s %q", b.Label, b.Bytes))
		}
	}
	return got
}

// body is what is between the lines of one.
func body(text string) string {
	_, text, _ = strings.Cut(text, "-----\n")
	text, _, _ = strings.Cut(text, "\n-----END")
	return text
}

func TestScan(t *testing.T) {
	t.Parallel()
	const mark = "\ufeff"
	lines := strings.Count(one, "\n")
	both := []string{"CERTIFICATE one", "CERTIFICATE two"}
	for about, test := range map[string]struct {
		data string
		want []string
	}{
		"two certificates":           {one + two, both},
		"nothing":                    {"", nil},
		"text around":                {"Bag Attributes\n  x: 1\n" + one + "\n# and\nBEGIN of a letter\n" + two + "the end", both},
		"DOS line ends":              {strings.ReplaceAll(one+two, "\n", "\r\n"), both},
		"line ends of old Macs":      {strings.ReplaceAll(one+two, "\n", "\r"), both},
		"no line break at the end":   {one + strings.TrimSuffix(two, "\n"), both},
		"a byte order mark":          {mark + one + two, both},
		"two files with marks":       {mark + one + mark + two, both},
		"no break between":           {strings.TrimSuffix(one, "\n") + two, both},
		"no break before END":        {strings.ReplaceAll(one+two, "\n-----END", "-----END"), both},
		"no break after BEGIN":       {strings.ReplaceAll(one+two, "CERTIFICATE-----\nM", "CERTIFICATE-----M"), both},
		"all in one line":            {strings.ReplaceAll(one+two, "\n", " "), both},
		"indented":                   {strings.ReplaceAll("\n"+one+two, "\n", "\n    "), both},
		"blanks at line ends":        {strings.ReplaceAll(one+two, "\n", " \t\n"), both},
		"empty lines within":         {strings.ReplaceAll(one+two, "\n", "\n\n"), both},
		"the end of a file of DOS":   {one + two + "\x1a", both},
		"an old label":               {strings.ReplaceAll(one, "CERT", "X509 CERT"), []string{"X509 CERTIFICATE one"}},
		"commented out":              {"#" + strings.ReplaceAll(one, "\n", "\n#") + "\n" + two, both[1:]},
		"cut in the second":          {one + two[:300], []string{both[0], fmt.Sprintf("line %d: BEGIN CERTIFICATE without an END: the file is cut", lines+1)}},
		"cut after BEGIN":            {one + two[:28], []string{both[0], fmt.Sprintf("line %d: BEGIN CERTIFICATE without an END: the file is cut", lines+1)}},
		"cut within BEGIN":           {one + two[:14], []string{both[0], fmt.Sprintf(`line %d: "-----BEGIN CER" is meant for a BEGIN or END line, but is not one`, lines+1)}},
		"cut after three hyphens":    {one + two[:3], []string{both[0], fmt.Sprintf(`line %d: "---" is meant for a BEGIN or END line, but is not one`, lines+1)}},
		"cut within END":             {two + one[:len(one)-3], []string{both[1], fmt.Sprintf(`line %d: "-----END CERTIFICATE---" is meant for an END line, but is not one`, 2*lines)}},
		"the beginning is lost":      {one[100:] + two, []string{fmt.Sprintf("line %d: END CERTIFICATE without a BEGIN before it", lines-2), both[1]}},
		"no END before the next":     {strings.Replace(one, "-----END CERTIFICATE-----\n", "", 1) + two, []string{fmt.Sprintf("line 1: BEGIN CERTIFICATE without an END before the next BEGIN at line %d", lines), both[1]}},
		"another END":                {strings.Replace(one, "END CERTIFICATE", "END KEY", 1) + two, []string{fmt.Sprintf("line 1: BEGIN CERTIFICATE, and END KEY at line %d", lines), both[1]}},
		"a character that is none":   {strings.Replace(one, "\nM", "\n?", 1) + two, []string{"line 2: '?' in it is not base64", both[1]}},
		"a character too few":        {"-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n" + two, []string{"line 1: what BEGIN CERTIFICATE begins is damaged: its base64 is incomplete", both[1]}},
		"nothing in it":              {"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" + two, []string{"line 1: BEGIN CERTIFICATE with nothing in it", both[1]}},
		"four hyphens":               {strings.ReplaceAll(one, "-----", "----") + two, []string{`line 1: "----BEGIN CERTIFICATE----" is meant for a BEGIN or END line, but is not one`, fmt.Sprintf(`line %d: "----END CERTIFICATE----" is meant for a BEGIN or END line, but is not one`, lines), both[1]}},
		"dashes of a word processor": {strings.Replace(one, "-----BEGIN", "–––––BEGIN", 1) + two, []string{`line 1: "–––––BEGIN CERTIFICATE-----" is meant for a BEGIN or END line, but is not one`, fmt.Sprintf("line %d: END CERTIFICATE without a BEGIN before it", lines), both[1]}},
		"escaped line breaks":        {strings.ReplaceAll(strings.TrimSuffix(one, "\n"), "\n", `\n`), []string{`line 1: the two characters \n stand where a line break should be`}},
		"headers":                    {"-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\neA==\n-----END X-----", []string{`X "x"`}},
		"quoted in a mail":           {"> " + strings.ReplaceAll(strings.TrimSuffix(one, "\n"), "\n", "\n> ") + "\n" + two, []string{`line 1: "> " stands in front of BEGIN or END in its line`, fmt.Sprintf(`line %d: "> " stands in front of BEGIN or END in its line`, lines), both[1]}},
		"behind a key":               {"ca: " + one + two, []string{`line 1: "ca: " stands in front of BEGIN or END in its line`, fmt.Sprintf("line %d: END CERTIFICATE without a BEGIN before it", lines), both[1]}},
		"commented out otherwise":    {"// " + strings.ReplaceAll(one, "\n", "\n; ") + "\n" + two, both[1:]},
		"a letter":                   {"Dear all,\n--\nBEGIN\n----- Original message -----\n-----\n", nil},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, found(test.data)); diff != "" {
				t.Errorf("blocks (-want +got):\n%s", diff)
			}
		})
	}
	if body(one) == "" {
		t.Error("the test's certificate has no body")
	}
}

// What pem.Decode needs hours for is read at once: each BEGIN is looked at once.
func TestScanIsLinear(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"-----BEGIN A-----\n", "-----BEGIN A-----", "-----END A-----", "-----BEGIN ", "-", "-----BEGIN A-----\n-----END A-----", "-----BEGIN A-----\nx: y\n"} {
		data := bytes.Repeat([]byte(part), 4<<20/len(part))
		if blocks := pemfile.Scan(data); len(blocks) > len(data)/len(part)+1 {
			t.Errorf("%q: %d blocks", part, len(blocks))
		}
	}
}

// FuzzScan reads any file: all that pem.Decode reads is found, and nothing of it
// in another order; what cannot be read says where.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{one + two, "\ufeff" + one, strings.TrimSuffix(one, "\n") + two, one + two[:300], "-----BEGIN A-----\nb: c\n\nZA==\n-----END A-----\n", "-----END A----------BEGIN B-----"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		blocks := pemfile.Scan(data)
		lines := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r"))
		last := 0
		for _, b := range blocks {
			if b.Line < last || b.Line > lines {
				t.Errorf("a block at line %d of %d, after one at %d", b.Line, lines, last)
			}
			last = b.Line
			if (b.Err == nil) == (len(b.Bytes) == 0) {
				t.Errorf("%d bytes with the error %v", len(b.Bytes), b.Err)
			}
			if b.Err != nil && (!strings.HasPrefix(b.Err.Error(), "line ") || strings.ContainsAny(b.Err.Error(), "\n\r\x00\x1b")) {
				t.Errorf("the error reads %q", b.Err)
			}
		}
		_ = pemfile.Recognise(data).For("file")
		// A well-formed file means the same to both.
		var whole []byte
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if len(block.Headers) == 0 && len(block.Bytes) > 0 && plain(block.Type) {
				whole = append(whole, pem.EncodeToMemory(block)...)
			}
		}
		var want, got []string
		for block, rest := pem.Decode(whole); block != nil; block, rest = pem.Decode(rest) {
			want = append(want, block.Type+string(block.Bytes))
		}
		for _, b := range pemfile.Scan(whole) {
			got = append(got, b.Label+string(b.Bytes))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("beside encoding/pem (-want +got):\n%s", diff)
		}
	})
}

func plain(label string) bool {
	return label != "" && !strings.ContainsAny(label, "-:=") && strings.TrimSpace(label) == label
}
