package hoststoml

import (
	"fmt"
	"strings"
	"testing"
)

func TestProxy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ value, url, shown, err string }{
		{value: "http://proxy.example:3128", url: "http://proxy.example:3128", shown: "http://proxy.example:3128"},
		{value: "http://proxy.example", url: "http://proxy.example", shown: "http://proxy.example"},
		{value: "https://proxy.example/", url: "https://proxy.example", shown: "https://proxy.example"},
		{value: "HTTP://proxy.example:3128", url: "http://proxy.example:3128", shown: "http://proxy.example:3128"},
		{value: "socks5://[::1]:1080", url: "socks5://[::1]:1080", shown: "socks5://[::1]:1080"},
		{value: "socks5h://proxy.example", url: "socks5h://proxy.example", shown: "socks5h://proxy.example"},
		{value: "http://jo:h%40sh@proxy.example:3128", url: "http://jo:h%40sh@proxy.example:3128", shown: "http://proxy.example:3128"},
		{value: "none", shown: "none"},
		{value: "", shown: "unset"},

		{value: "None", err: `"None" is not a proxy; did you mean "none"?`},
		{value: "non", err: `"non" is not a proxy; did you mean "none"?`},
		{value: "proxy.example:3128", err: `is not the URL of a proxy, such as "http://proxy.example:3128", and not "none"`},
		{value: "jo:hush@proxy.example:3128", err: `is not the URL of a proxy, such as "http://proxy.example:3128", and not "none"`},
		{value: "htp://jo:hush@proxy.example", err: `scheme "htp"; did you mean "http"?`},
		{value: "socks4://proxy.example", err: `scheme "socks4"; did you mean "socks5"?`},
		{value: "ftp://proxy.example", err: `scheme "ftp": must be http, https, socks5 or socks5h`},
		{value: "jo:hush@x://proxy.example", err: `scheme: must be http, https, socks5 or socks5h`},
		{value: "http://jo:hu%sh@proxy.example", err: `is not a URL; in user and password write %25 for %, %23 for #, %2F for / and %3F for ?`},
		{value: "http://jo:hu#sh@proxy.example", err: `is not a URL; in user and password write %25 for %, %23 for #, %2F for / and %3F for ?`},
		{value: "http://proxy.example:port", err: "is not a URL"},
		{value: "http://proxy.example/hush", err: "a path, query or fragment is not allowed here; in user and password write %23 for #, %2F for / and %3F for ?"},
		{value: "http://", err: "does not name a host"},
		{value: "http://jo:hush@", err: "does not name a host"},
		{value: "http://hu sh", err: "is not a URL"},
		{value: "http://..", err: "the host or its port is not valid"},
	} {
		for _, text := range []string{fmt.Sprintf("proxy = %q\n", tt.value), fmt.Sprintf("[host.\"https://m.example\"]\nproxy = %q\n", tt.value)} {
			file, problems := Parse("hosts.toml", []byte(text))
			if tt.err != "" {
				if len(problems) != 1 || problems[0].Err.Error() != tt.err || problems[0].Line != strings.Count(text, "\n") || !strings.HasSuffix(problems[0].Key, "proxy") {
					t.Errorf("%q: %+v", tt.value, problems)
				}
				for _, p := range problems {
					if said := fmt.Sprint(p.Key, p.Err); strings.Contains(said, "hush") || strings.Contains(said, "jo:") {
						t.Errorf("%q: %s shows what is secret", tt.value, said)
					}
				}
				continue
			}
			if file == nil {
				t.Errorf("%q: %v", tt.value, problems[0].Err)
				continue
			}
			p := file.Endpoints[0].Proxy
			switch {
			case p == nil:
				if tt.shown != "unset" {
					t.Errorf("%q: no proxy", tt.value)
				}
				continue
			case tt.url == "" && p.URL() != nil, tt.url != "" && (p.URL() == nil || p.URL().String() != tt.url):
				t.Errorf("%q: %v", tt.value, p.URL())
			}
			for _, shown := range []string{p.String(), fmt.Sprint(p), fmt.Sprintf("%+v", *p)} {
				if shown != tt.shown {
					t.Errorf("%q is shown as %s", tt.value, shown)
				}
			}
			if shown := fmt.Sprintf("%#v %+v", *p, file.Endpoints[0]); strings.Contains(shown, "sh@") || strings.Contains(shown, "jo") {
				t.Errorf("%q is shown as %s", tt.value, shown)
			}
		}
	}
	for _, text := range []string{"proxy = ['http://jo:hush@p']", "proxy = 7", "proxi = 'http://jo:hush@p'"} {
		_, problems := Parse("hosts.toml", []byte(text))
		if len(problems) != 1 || strings.Contains(problems[0].Err.Error(), "hush") {
			t.Errorf("%s: %+v", text, problems)
		}
	}
	if _, problems := Parse("hosts.toml", []byte("proxi = 'x'")); problems[0].Err.Error() != `unknown key; did you mean "proxy"?` {
		t.Errorf("%v", problems[0].Err)
	}
}
