package check

import (
	"crypto/tls"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// uploads answers what a push begins with, and keeps what was asked.
type uploads struct {
	mu    sync.Mutex
	asked []string
	// begin and end are the statuses for POST and DELETE.
	begin, end int
	// only may push, everybody if empty.
	only string
	body string
}

func (u *uploads) guard(w http.ResponseWriter, r *http.Request, client string) bool {
	if !strings.Contains(r.URL.Path, "/blobs/uploads/") {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = append(u.asked, r.Method+" "+r.URL.RequestURI()+" "+client)
	status := u.begin
	switch {
	case r.Method == http.MethodDelete:
		status = u.end
	case u.only != "" && client != u.only:
		status = http.StatusForbidden
	default:
		w.Header().Set("Location", "session%2F1?_state=a%2Bb")
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(u.body))
	return false
}

func TestPush(t *testing.T) {
	t.Parallel()
	const begun, ended = "POST /v2/team/app/blobs/uploads/", "DELETE /v2/team/app/blobs/uploads/session%2F1?_state=a%2Bb"
	both := files{"ca": serverCA, "alpha": alpha, "bravo": bravo}
	for name, tt := range map[string]struct {
		uploads *uploads
		target  string
		want    []string
		asked   []string
	}{
		"works": {
			uploads: &uploads{begin: 202, end: 204},
			want:    []string{"works: a push would work, with alpha.cert"},
			asked:   []string{begun + " alpha", ended + " alpha"},
		},
		"with the second certificate": {
			uploads: &uploads{begin: 202, end: 204, only: "bravo"},
			want:    []string{"works: a push would work, with bravo.cert"},
			asked:   []string{begun + " alpha", begun + " bravo", ended + " bravo"},
		},
		"into a repository that is not there": {
			uploads: &uploads{begin: 202, end: 204}, target: "/team/new",
			want: []string{
				"warning not-found REG/team/new:latest: 404 Not Found -> correct the name; some registries also answer 404 to clients without access",
				"works: a push would work, with alpha.cert; there is nothing to pull yet",
			},
			asked: []string{"POST /v2/team/new/blobs/uploads/ alpha", "DELETE /v2/team/new/blobs/uploads/session%2F1?_state=a%2Bb alpha"},
		},
		"an upload that is not taken back": {
			uploads: &uploads{begin: 202, end: 405},
			want: []string{
				"warning upload-left REG: it started an upload and did not cancel it: unexpected status from DELETE request to https://REG/v2/team/app/blobs/uploads/session/1 405 Method Not Allowed -> nothing: the upload is empty, and the registry will remove it",
				"works: a push would work, with alpha.cert",
			},
			asked: []string{begun + " alpha", ended + " alpha"},
		},
		"who pulls may not push": {
			uploads: &uploads{begin: 202, only: "charlie"},
			want: []string{
				"error push-refused REG/team/app: 403 Forbidden for each of alpha.cert, bravo.cert -> ask the registry's owner who may push to this repository",
				"refused: a push would fail",
			},
			asked: []string{begun + " alpha", begun + " bravo"},
		},
		"read only": {
			uploads: &uploads{begin: 405, body: `{"errors":[{"code":"UNSUPPORTED","message":"read only"}]}`},
			want: []string{
				`error push-refused REG/team/app: 405 Method Not Allowed for the start of an upload: it accepts none under this name ("UNSUPPORTED: read only") -> create the repository (project, namespace) there first, or ask the registry's owner whether it is read-only`,
				"refused: a push would fail",
			},
			asked: []string{begun + " alpha"},
		},
		"a page instead of an upload": {
			uploads: &uploads{begin: 200, body: "<html>"},
			want: []string{
				"error push-failed REG/team/app: unexpected status from POST request to https://REG/v2/team/app/blobs/uploads/: 200 OK",
				"refused: a push would fail",
			},
			asked: []string{begun + " alpha"},
		},
		"credentials": {
			uploads: &uploads{begin: 401},
			want: []string{
				"error push-refused REG/team/app: 401 Unauthorized: it requires a user and a password to push, and Docker's config.json has none for it -> docker login REG as a user who may push; client certificates do not help here",
				"refused: a push would fail",
			},
			asked: []string{begun + " alpha"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := tt.uploads
			reg := server{auth: tls.RequireAndVerifyClientCert, handle: serve(t, u.guard)}.start(t)
			root := t.TempDir()
			write(t, root, of(reg, both))
			target := tt.target
			if target == "" {
				target = "/team/app"
			}
			report := run1(t, &Checker{Push: true}, root, reg+target)
			compare(t, tt.want, lines(report, root, map[string]string{"REG": reg}))
			u.mu.Lock()
			defer u.mu.Unlock()
			compare(t, tt.asked, slices.Clone(u.asked))
		})
	}
}

func TestPushNeedsARepository(t *testing.T) {
	t.Parallel()
	c := &Checker{Push: true}
	if _, err := c.Registry(t.Context(), "registry.test"); err == nil || !strings.Contains(err.Error(), "does not name a repository to push to") {
		t.Errorf("got %v", err)
	}
}
