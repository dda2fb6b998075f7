package pkcs11uri_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/keys/pkcs11uri"
)

func TestParse(t *testing.T) {
	t.Parallel()
	slot := uint64(42)
	for text, want := range map[string]pkcs11uri.URI{
		"pkcs11:token=The%20token;object=k":                {Token: "The token", Object: "k"},
		"\n pkcs11:id=%01%ff;serial=1;model=m\r\n":         {ID: []byte{1, 255}, Serial: "1", Model: "m"},
		"pkcs11:id=;object=k":                              {Object: "k"},
		"pkcs11:slot-id=42;object=k;type=private;":         {SlotID: &slot, Object: "k"},
		"pkcs11:object=k?module-path=/m.so&pin-value=1%26": {Object: "k", ModulePath: "/m.so", PinValue: "1&"},
		"pkcs11:object=k?pin-source=file:/run/pin":         {Object: "k", PinSource: "/run/pin"},
		"pkcs11:object=k?pin-source=file:///run/pin":       {Object: "k", PinSource: "/run/pin"},
		"pkcs11:object=k?pin-source=/run/pin":              {Object: "k", PinSource: "/run/pin"},
		"pkcs11:object=a+b;manufacturer=x?module-name=hsm": {Object: "a+b", Manufacturer: "x", ModuleName: "hsm"},
	} {
		u, err := pkcs11uri.Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, *u); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for text, want := range map[string]string{
		"pkcs12:object=k":                              "not a pkcs11: URI",
		"pkcs11:token=t":                               "does not name a key",
		"pkcs11:object=k\npkcs11:object=l":             "more than the one line",
		"pkcs11:object=my key":                         "write %20",
		"pkcs11:object=k;object=l":                     "object appears twice",
		"pkcs11:object=%zz":                            "value of object is not percent-encoded",
		"pkcs11:object":                                "object has no value",
		"pkcs11:objekt=k":                              "objekt is unknown",
		"pkcs11:object=k;pin-value=1":                  "belongs after the question mark",
		"pkcs11:object=k?pin-value=1&pin-source=/p":    "both pin-source and pin-value",
		"pkcs11:object=k?pin-source=%7Ccat%20/pin":     "neither an absolute path",
		"pkcs11:object=k?pin-source=pin":               "neither an absolute path",
		"pkcs11:object=k?module-path=m.so":             "not an absolute path",
		"pkcs11:object=k?module-name=../m":             "not a path",
		"pkcs11:object=k;type=cert":                    "type is not private",
		"pkcs11:object=k;slot-id=0x1":                  "slot-id is not a decimal number",
		"pkcs11:object=k;library-version=1":            "is not supported",
		"pkcs11:object=k?" + strings.Repeat("x", 5000): "more than 4096",
		"pkcs11:object=k?s3cret-PIN=1":                 "that is not a name",
	} {
		_, err := pkcs11uri.Parse([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%.60q: got %v, want %q", text, err, want)
		}
	}
}

func TestStringHasNoPIN(t *testing.T) {
	t.Parallel()
	u, err := pkcs11uri.Parse([]byte("pkcs11:token=a%20b;object=k%3b;id=%01?pin-value=geheim&module-path=/m.so"))
	if err != nil {
		t.Fatal(err)
	}
	if got := u.String(); got != "pkcs11:token=a%20b;object=k%3B;id=%01" {
		t.Errorf("got %s", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("pkcs11:token=a%20b;object=k;id=%01;slot-id=1?pin-source=file:///p&module-name=m"))
	f.Add([]byte("pkcs11:object=k?pin-value=1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		u, err := pkcs11uri.Parse(data)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("it repeats what it read: %v", err)
			}
			return
		}
		again, err := pkcs11uri.Parse([]byte(u.String()))
		if err != nil {
			t.Fatalf("%s: %v", u, err)
		}
		u.PinSource, u.PinValue, u.ModulePath, u.ModuleName = "", "", "", ""
		if diff := cmp.Diff(u, again); diff != "" {
			t.Error(diff)
		}
	})
}
