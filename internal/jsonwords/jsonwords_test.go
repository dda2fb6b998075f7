package jsonwords_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/certsd/containerd-certsd/internal/jsonwords"
)

func TestOf(t *testing.T) {
	t.Parallel()
	type document struct {
		Tags   []string          `json:"tags"`
		Size   uint8             `json:"size"`
		Name   string            `json:"name"`
		Config *struct{ A bool } `json:"config"`
		Raw    []byte            `json:"raw"`
	}
	for body, want := range map[string]string{
		``:                     "it is not valid JSON: it ends too early",
		`{"tags":`:             "it is not valid JSON: it ends too early",
		`<html>`:               "it is not valid JSON from byte 1 on",
		`{"tags":[]} x`:        "it is not valid JSON from byte 13 on",
		`[]`:                   "it is JSON, but a list where an object belongs",
		`"a"`:                  "it is JSON, but a string where an object belongs",
		`{"tags":{"a":1}}`:     "its tags is an object where a list belongs",
		`{"name":5}`:           "its name is a number where a string belongs",
		`{"size":"5"}`:         "its size is a string where a number belongs",
		`{"size":500}`:         "its size is the number 500, which does not belong there",
		`{"config":[]}`:        "its config is a list where an object belongs",
		`{"config":{"A":"b"}}`: "its config.A is a string where true or false belongs",
		`{"config":true}`:      "its config is true or false where an object belongs",
		`{"raw":[true]}`:       "its raw is true or false where a number belongs",
	} {
		var doc document
		err := json.Unmarshal([]byte(body), &doc)
		got := jsonwords.Of(err)
		if err == nil || got == nil {
			t.Fatalf("%s: %v, %v", body, err, got)
		}
		if got.Error() != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
		if !errors.Is(got, err) {
			t.Errorf("%s: the cause is lost", body)
		}
		if strings.Contains(got.Error(), "Go ") {
			t.Errorf("%s: %q", body, got)
		}
	}
	other := errors.New("other")
	if got := jsonwords.Of(other); got != other { //nolint:errorlint // the very same
		t.Errorf("%v becomes %v", other, got)
	}
	if got := jsonwords.Of(nil); got != nil {
		t.Errorf("nil becomes %v", got)
	}
}
