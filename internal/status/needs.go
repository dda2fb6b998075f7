package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/certsd/containerd-certsd/certsd/hostdir"
)

// soon is how long before its end a certificate with a long life needs attention;
// others do in the last fifth of theirs.
const soon = 14 * 24 * time.Hour

// EndsSoon reports whether a certificate expires within 14 days or, if it is
// short-lived, is in the last fifth of its life.
func EndsSoon(notBefore, notAfter, now time.Time) bool {
	return notAfter.Sub(now) < min(soon, notAfter.Sub(notBefore)/5)
}

// order is the order in which needs are shown: those that keep pulls from working come
// first.
var order = []string{
	NeedUnusable, NeedExpired, NeedUnverified, NeedRefused, NeedNoConnection, NeedAnswer, NeedMemory, NeedCRI, NeedPair,
	NeedExpires, NeedServerEnds, NeedCAEnds,
}

// needs returns what needs a person's attention.
func needs(st *Status) []Need {
	var all []Need
	if st.CRI == CRIItself {
		all = append(all, Need{
			Code: NeedCRI, What: "Kubernetes' pulls do not pass through certsd: CRI pulls by itself, because of a key in its section",
			Next: "https://github.com/certsd/containerd-certsd/blob/main/docs/configuration.md#where-cri-pulls-by-itself",
		})
	}
	told := map[string]bool{}
	for i := range st.Registries {
		all = append(all, needsOf(&st.Registries[i], st.Now, told)...)
	}
	for _, v := range st.Servers {
		all = append(all, needsOfServer(v, st.Now)...)
	}
	slices.SortStableFunc(all, func(a, b Need) int {
		return cmp.Compare(slices.Index(order, a.Code), slices.Index(order, b.Code))
	})
	return all
}

// needsOf returns the needs of a registry. A file that several registries use, such as
// one in _default, is reported once.
func needsOf(r *Registry, now time.Time, told map[string]bool) (all []Need) {
	add := func(code, next, format string, args ...any) {
		all = append(all, Need{Code: code, Registry: r.Name, What: fmt.Sprintf(format, args...), Next: next})
	}
	if r.Error != "" {
		add(NeedUnusable, "certsd check "+r.Name, "%s", r.Error)
	}
	if r.Memory != nil {
		add(NeedMemory, "fix it before the next restart", "what was read last is in use from memory, because the files are broken since %s: %s", Clock(r.Memory.Since), r.Memory.Cause)
	}
	for _, e := range r.Endpoints {
		for _, id := range e.Identities {
			// Most identities need nothing.
			code, next, what := needOf(id, now)
			if code != "" && !told[id.File] {
				told[id.File] = true
				add(code, next, "%s %s", id.File, what)
			}
		}
		for _, ca := range e.CAs {
			if mark := ca.File + " " + ca.Serial; ca.Used && !told[mark] && EndsSoon(ca.NotBefore, ca.NotAfter, now) {
				told[mark] = true
				add(NeedCAEnds, "put the next CA beside it", "%s, a CA, %s", ca.File, Ends(ca.NotAfter, now))
			}
		}
	}
	for _, repo := range r.Repositories {
		if repo.Refused != nil {
			all = append(all, needOfRefusal(r.Name, repo))
		}
	}
	return all
}

// needOf returns the need of a client certificate, with an empty code for none.
func needOf(id Identity, now time.Time) (code, next, what string) {
	switch {
	case id.Certificate == nil:
		return NeedPair, "fix it, or remove both files", "cannot be used: " + id.Why
	case now.After(id.NotAfter):
		return NeedExpired, "renew it, or remove both files", "has expired on " + hostdir.Day(id.NotAfter)
	case EndsSoon(id.NotBefore, id.NotAfter, now):
		return NeedExpires, "renew it: nothing has to be restarted", Ends(id.NotAfter, now)
	}
	return "", "", ""
}

func needOfRefusal(registry string, repo Repository) Need {
	n := Need{Code: NeedRefused, Registry: registry, Next: "certsd check " + registry + "/" + repo.Name}
	answers := strings.Join(repo.Refused.Answers, ", ")
	switch result := repo.Refused.Result; {
	case result == "verify":
		n.Code, n.What = NeedUnverified, fmt.Sprintf("the certificate of %s cannot be verified", repo.Host)
	case result == "dial":
		n.Code, n.What = NeedNoConnection, repo.Host+" cannot be reached"
	case result == "error", strings.HasPrefix(result, "5"):
		n.Code, n.What = NeedAnswer, fmt.Sprintf("%s fails for repository %s (%s)", repo.Host, repo.Name, answers)
	default:
		n.What = fmt.Sprintf("repository %s is refused since %s (%s)", repo.Name, Clock(repo.Refused.At), answers)
	}
	return n
}

func needsOfServer(v Server, now time.Time) (all []Need) {
	if c := v.Certificate; c != nil && EndsSoon(c.NotBefore, c.NotAfter, now) {
		all = append(all, Need{
			Code: NeedServerEnds, Registry: v.Host, What: "the certificate of the server " + v.Host + " " + Ends(c.NotAfter, now),
			Next: "tell the registry's owner",
		})
	}
	return all
}

// Ends describes when something expires or has expired.
func Ends(at, now time.Time) string {
	if now.After(at) {
		return "has expired on " + hostdir.Day(at)
	}
	return fmt.Sprintf("expires in %s, on %s", Span(at.Sub(now)), hostdir.Day(at))
}

// Clock formats a time for people.
func Clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// Span formats a duration in the largest unit of which it has at least two.
func Span(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}} {
		if n := d / unit.size; n >= 2 {
			return fmt.Sprintf("%d %s", n, unit.name)
		}
	}
	if n := max(d, 0) / time.Second; n != 1 {
		return fmt.Sprintf("%d seconds", n)
	}
	return "1 second"
}
