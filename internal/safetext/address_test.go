package safetext

import (
	"net/url"
	"testing"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	u, err := url.Parse("https://user:p4ss@reg:5000/v2/a%2Fb?sig=p4ss#x")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		URL(u):                              "https://reg:5000/v2/a%2Fb",
		Origin(u):                           "https://reg:5000",
		Address("https://user:p4ss@reg/@x"): "https://…@reg/@x",
		Address("user:p4ss@reg"):            "…@reg",
		Address("reg:5000"):                 "reg:5000",
		// A slash in a password is to be written as %2F, and is not by everybody.
		Address("https://user:p4/ss@reg"):                         "https://…@reg",
		Proxy("http://user:p4/ss@proxy:3128/"):                    "http://proxy:3128",
		Proxy("user:p4ss@proxy:3128"):                             "http://proxy:3128",
		Proxy("user:p4://ss@proxy"):                               "http://proxy",
		Proxy("socks5://proxy?p4ss"):                              "socks5://proxy",
		Addresses(`key "https://user:p4/ss@reg" and user:p4ss@b`): `key "https://…@reg" and …@b`,
		Addresses(`table "https://user:p4ss@reg" is there`):       `table "https://…@reg" is there`,
		URLs("GET https://u:p4ss@reg/b?sig=p4ss&x, /c?y ok", "…"): "GET https://reg/b?… /c?… ok",
		URLs("GET https://u:p4ss@reg/b?sig=p4ss&x ok", ""):        "GET https://reg/b ok",
		RawURL("https://u:p4/ss@reg/%zz?sig=p4ss", "…"):           "https://…@reg/%zz?…",
		URLs("nothing to hide: /v2/", "…"):                        "nothing to hide: /v2/",
		URLs("GET https://u:p4/ss@reg/b?sig=p4ss", "…"):           "GET https://…@reg/b?…",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
