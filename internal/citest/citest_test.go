package citest_test

import (
	"testing"

	"github.com/certsd/containerd-certsd/internal/citest"
)

// ended notes how a test ended first.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper() {}

func (e *ended) Skip(...any) { e.end("skipped") }

func (e *ended) Fatalf(string, ...any) { e.end("failed") }

func (e *ended) end(how string) {
	if e.how == "" {
		e.how = how // a real test does not go on
	}
}

func TestMissing(t *testing.T) {
	for value, want := range map[string]string{
		"": "skipped", "false": "skipped", "0": "skipped", "true": "failed", "1": "failed",
	} {
		t.Setenv("CI", value)
		e := &ended{}
		if citest.Missing(e, "no disk"); e.how != want {
			t.Errorf("CI=%q: %s, want %s", value, e.how, want)
		}
	}
}
