package status_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/certsd/containerd-certsd/internal/status"
)

// example has one of everything.
func example() *status.Status {
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	before := func(d time.Duration) *time.Time { t := now.Add(-d); return &t }
	cert := func(name, serial string, left time.Duration) *status.Certificate {
		return &status.Certificate{Subject: "CN=" + name, Issuer: "CN=clients", Serial: serial, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.Add(left)}
	}
	const day = 24 * time.Hour
	return &status.Status{
		Schema: 1, Daemon: status.Gateway, Version: "v1.2", Address: "127.0.0.1:5999", Since: *before(3 * time.Hour), Now: now,
		Roots: []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}, Proxy: map[string]string{"HTTPS_PROXY": "http://proxy.example:3128"},
		Needs: []status.Need{
			{Code: status.NeedRefused, Registry: "registry.example:5000", What: "repository team/secret is refused since 2026-11-27 09:58 UTC (alpha.cert: 403, bravo.cert: 403)", Next: "certsd check registry.example:5000/team/secret"},
			{Code: status.NeedExpires, Registry: "registry.example:5000", What: "/etc/docker/certs.d/registry.example:5000/alpha.cert expires in 9 days, on 2026-12-06", Next: "renew it: nothing has to be restarted"},
		},
		Registries: []status.Registry{{
			Name: "registry.example:5000", Directory: "/etc/docker/certs.d/registry.example:5000",
			Memory: &status.Memory{Since: *before(time.Hour), Cause: "/etc/docker/certs.d/registry.example:5000/bravo.cert: no PEM"},
			Endpoints: []status.Endpoint{{
				URL: "https://registry.example:5000/v2", Host: "registry.example:5000", Proxy: "http://proxy.example:3128",
				Identities: []status.Identity{
					{Name: "alpha.cert", File: "/etc/docker/certs.d/registry.example:5000/alpha.cert", Certificate: cert("alpha", "0A", 9*day), Presented: true, Answer: &status.Answer{Result: "403", At: *before(2 * time.Minute)}},
					{Name: "bravo.cert", File: "/etc/docker/certs.d/registry.example:5000/bravo.cert", Certificate: cert("bravo", "0B", 300*day), Presented: true, Answer: &status.Answer{Result: "200", At: *before(2 * time.Minute)}, Accepted: before(2 * time.Minute)},
					{Name: "old.cert", File: "/etc/docker/certs.d/registry.example:5000/old.cert", Certificate: cert("old", "0C", -5*day), Why: "expired on 2026-11-22"},
				},
			}},
			Repositories: []status.Repository{
				{Name: "team/app", Host: "registry.example:5000", Accepted: &status.Accepted{Identity: "bravo.cert", Serial: "0B", At: *before(2 * time.Minute)}},
				{Name: "team/secret", Host: "registry.example:5000", Refused: &status.Refused{At: *before(2 * time.Minute), Answers: []string{"alpha.cert: 403", "bravo.cert: 403"}, Result: "403"}},
			},
		}},
		Idle:    []string{"archive.example"},
		Servers: []status.Server{{Host: "registry.example:5000", Seen: before(2 * time.Minute), Certificate: cert("registry.example", "0D", 90*day), CA: cert("servers", "0E", 900*day), Refusals: map[string]int{"403": 3}}},
		Resting: []status.Resting{{Endpoint: "https://mirror.example", Since: *before(time.Second), Until: now.Add(9 * time.Second), Cause: "connection refused"}},
		Work:    []status.Work{{Kind: "Registry v1", Ref: "archive.example/old:1", Since: *before(time.Minute), Bytes: 3 << 20, Layers: 1, LayersBegun: 3}},
		Secret:  &status.Secret{Changed: before(40 * day)}, Store: &status.Usage{Used: 5 << 20, Limit: 20 << 30}, Spool: &status.Usage{Limit: 8 << 30},
	}
}

const told = `NEEDS A PERSON
  registry.example:5000: repository team/secret is refused since 2026-11-27
    09:58 UTC (alpha.cert: 403, bravo.cert: 403)
    -> certsd check registry.example:5000/team/secret
  registry.example:5000: /etc/docker/certs.d/registry.example:5000/alpha.cert
    expires in 9 days, on 2026-12-06
    -> renew it: nothing has to be restarted

certsd gateway v1.2 at 127.0.0.1:5999, since 2026-11-27 07:00 UTC
  roots      /etc/containerd/certs.d:/etc/docker/certs.d
  proxy      HTTPS_PROXY=http://proxy.example:3128
  secret     40 days old
  store      5.0 MiB of 20.0 GiB
  spool      0 bytes of 8.0 GiB

  registry.example:5000 /etc/docker/certs.d/registry.example:5000
    from memory, because the files are broken since 2026-11-27 09:00 UTC:
      /etc/docker/certs.d/registry.example:5000/bravo.cert: no PEM
    through proxy http://proxy.example:3128
    alpha.cert  CN=alpha, serial 0A; expires in 9 days, on 2026-12-06; last
                answer 403, 2 minutes ago
    bravo.cert  CN=bravo, serial 0B; expires in 300 days, on 2027-09-23;
                accepted 2 minutes ago (200)
    old.cert    CN=old, serial 0C; has expired on 2026-11-22; not presented:
                expired on 2026-11-22
    its certificate expires in 90 days, on 2027-02-25; its CA CN=servers expires
      in 900 days, on 2029-05-15
    repository team/app: bravo.cert was accepted 2 minutes ago
    repository team/secret: refused 2 minutes ago (alpha.cert: 403, bravo.cert:
      403)
  not asked for yet: archive.example
  passed over for now: https://mirror.example, until 2026-11-27 10:00 UTC:
    connection refused
  under way: Registry v1 of archive.example/old:1, 1 of 3 layers, 3.0 MiB, for
    60 seconds
`

func TestTell(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	must(t, status.Tell(&out, []*status.Status{example()}, status.DefaultColumns))
	if diff := cmp.Diff(told, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line := range strings.Lines(out.String()) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > status.DefaultColumns {
			t.Errorf("too long: %q", line)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 seconds", 0: "0 seconds", time.Second: "1 second", 1900 * time.Millisecond: "1 second", 2 * time.Second: "2 seconds",
		119 * time.Second: "119 seconds", 2 * time.Minute: "2 minutes", 47 * time.Hour: "47 hours", 48 * time.Hour: "2 days",
	} {
		if got := status.Span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

func TestTellOfNothing(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	must(t, status.Tell(&out, []*status.Status{{Daemon: status.ImageService, Roots: []string{"/none"}}}, status.DefaultColumns))
	if !strings.Contains(out.String(), "no registry has a directory below /none: make one named after") {
		t.Errorf("got %s", &out)
	}
}
