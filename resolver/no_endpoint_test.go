package resolver_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"github.com/certsd/containerd-certsd/resolver"
)

// TestWhereNoEndpointMayBeAsked by its capabilities, or the name is none, nobody is
// asked and the error says so: what was not asked is not taken for what is not there.
func TestWhereNoEndpointMayBeAsked(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, nil)
	root := t.TempDir()
	file := filepath.Join(r.Dir(t, root, "alpha"), "hosts.toml")
	subject := digest.FromString("subject")
	tags := func(ctx context.Context, res *resolver.Resolver, name string) error {
		list, err := res.Tags(ctx, name)
		if len(list) > 0 {
			t.Errorf("%s has the tags %v", name, list)
		}
		return err
	}
	push := func(ctx context.Context, res *resolver.Resolver, name string) error { return res.TryPush(ctx, name) }
	blob := func(ctx context.Context, res *resolver.Resolver, name string) error {
		resp, err := res.Open(ctx, name, "GET", nil, "blobs", subject.String())
		if err == nil {
			err = resp.Body.Close()
			t.Error("somebody has answered")
		}
		return err
	}
	referrers := func(of digest.Digest) func(context.Context, *resolver.Resolver, string) error {
		return func(ctx context.Context, res *resolver.Resolver, name string) error {
			f, err := res.Fetcher(ctx, name+":1")
			if err != nil {
				return err
			}
			r, ok := f.(remotes.ReferrersFetcher)
			if !ok {
				t.Fatal("referrers cannot be fetched")
			}
			_, err = r.FetchReferrers(ctx, of)
			return err
		}
	}
	for what, tt := range map[string]struct {
		capabilities, name string
		ask                func(context.Context, *resolver.Resolver, string) error
		is                 func(error) bool
		says               string
	}{
		"tags":                        {`"push"`, "/app", tags, errdefs.IsNotFound, "no endpoint of REGISTRY may be asked for tags"},
		"referrers":                   {`"push"`, "/app", referrers(subject), errdefs.IsUnavailable, "whether there are any is not known"},
		"a blob":                      {`"push"`, "/app", blob, errdefs.IsNotFound, "REGISTRY has no endpoint to pull from"},
		"a push":                      {`"pull", "resolve"`, "/app", push, errdefs.IsNotFound, "REGISTRY has no endpoint to push to"},
		"tags of a registry":          {`"pull", "resolve"`, "", tags, errdefs.IsInvalidArgument, "is not HOST/NAME"},
		"tags of an image":            {`"pull", "resolve"`, "/app:1", tags, errdefs.IsInvalidArgument, "is not HOST/NAME"},
		"a push to an image":          {`"push"`, "/app:1", push, errdefs.IsInvalidArgument, "is not HOST/NAME"},
		"referrers of what is no sum": {`"pull", "resolve"`, "/app", referrers("sha256:12"), errdefs.IsInvalidArgument, `"sha256:12"`},
	} {
		write(t, file, "server = \"https://"+r.Host+"\"\ncapabilities = ["+tt.capabilities+"]\n")
		res := resolver.New(resolver.Options{Hosts: newHosts(t, root)})
		err := tt.ask(t.Context(), res, r.Host+tt.name)
		if err == nil || !tt.is(err) || !strings.Contains(err.Error(), strings.ReplaceAll(tt.says, "REGISTRY", r.Host)) {
			t.Errorf("%s: %v", what, err)
		}
		if calls := r.Calls(); len(calls) > 0 {
			t.Errorf("%s: the registry was asked for %v", what, calls)
		}
	}
}
