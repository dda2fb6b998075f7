package nextstep_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/certsd/containerd-certsd/internal/nextstep"
)

func TestSteps(t *testing.T) {
	t.Parallel()
	cause := errors.New("is encrypted")
	with := nextstep.With(cause, "decrypt it")
	told := nextstep.Told(cause, "decrypt it with openssl", "decrypt it: openssl pkey")
	tests := []struct {
		name              string
		err               error
		text, said, steps string
	}{
		{"none", cause, "is encrypted", "is encrypted", ""},
		{"in its own words", with, "is encrypted: decrypt it", "is encrypted", "decrypt it"},
		{"in other words", told, "is encrypted: decrypt it with openssl", "is encrypted", "decrypt it: openssl pkey"},
		{"wrapped", fmt.Errorf("a.key: %w; the last one stays", told), "a.key: is encrypted: decrypt it with openssl; the last one stays", "a.key: is encrypted; the last one stays", "decrypt it: openssl pkey"},
		{"one of several", errors.Join(cause, with), "is encrypted\nis encrypted: decrypt it", "is encrypted\nis encrypted", "decrypt it"},
		{"several", errors.Join(with, told), "is encrypted: decrypt it\nis encrypted: decrypt it with openssl", "is encrypted: decrypt it\nis encrypted: decrypt it with openssl", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.err.Error() != tt.text || nextstep.Cause(tt.err) != tt.said || nextstep.Of(tt.err) != tt.steps {
				t.Errorf("%q, %q -> %q", tt.err, nextstep.Cause(tt.err), nextstep.Of(tt.err))
			}
			if !errors.Is(tt.err, cause) {
				t.Error("the cause is lost")
			}
		})
	}
}
