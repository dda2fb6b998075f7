package status

import "testing"

// TestProxiesOfTheEnvironment have no password, whatever is in it.
func TestProxiesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"http://proxy.test:3128":                "http://proxy.test:3128",
		"proxy.test:3128":                       "http://proxy.test:3128",
		"http://jo:s3cr3t@proxy.test:3128":      "http://proxy.test:3128",
		"jo:s3cr3t@proxy.test/":                 "http://proxy.test",
		"http://jo:s3/cr3t@proxy.test:3128":     "http://proxy.test:3128",
		"http://jo:s3@c/r3t@proxy.test:3128/x?": "http://proxy.test:3128",
	} {
		got := proxies(func(name string) string { return map[string]string{"https_proxy": value}[name] })
		if len(got) != 1 || got["HTTPS_PROXY"] != want {
			t.Errorf("%s is shown as %v, want %s", value, got, want)
		}
	}
}
