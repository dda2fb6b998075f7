package gateway

import (
	"context"
	"fmt"
	"net/http"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// conversions resolves references, and converts images where necessary.
type conversions struct {
	shelf     *shelf
	upstreams *upstreams
	flights   *flights
}

// resolve returns the descriptor of a manifest, and converts the image if necessary.
func (c *conversions) resolve(ctx context.Context, t *target) (ocispec.Descriptor, error) {
	if desc, ok := c.shelf.manifest(ctx, t); ok {
		return desc, nil
	}
	if tag := c.shelf.tagOf(t); tag != "" {
		return c.resolveTag(ctx, t, tag)
	}
	flight := c.flights.join(t.key(), t.named(), func(ctx context.Context) (ocispec.Descriptor, error) {
		return c.resolveNow(ctx, t)
	})
	desc, err := flight.result(ctx)
	if err == nil && t.digest != "" && desc.Digest != t.digest {
		return desc, &fault{
			status: http.StatusNotFound, code: codeManifestUnknown,
			message: fmt.Sprintf("%s is a schema 1 manifest, which is served converted, under its own digest alone: ask for %s@%s", t.named(), t.ref(), desc.Digest),
		}
	}
	return desc, err
}

func (c *conversions) resolveNow(ctx context.Context, t *target) (_ ocispec.Descriptor, err error) {
	if c.shelf.store != nil {
		var release func()
		ctx, release = c.shelf.store.holds.withPins(ctx)
		defer func() {
			release()
			c.flights.wait.Go(func() { c.evictAfter(ctx, err) })
		}()
	}
	_, desc, err := c.upstreams.resolverFor(t).resolve.Resolve(withVia(ctx, t.via), t.named())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if desc.Size > maxManifest {
		return ocispec.Descriptor{}, fmt.Errorf("%s: a manifest of %d bytes is larger than %d", t.named(), desc.Size, maxManifest)
	}
	if c.shelf.store != nil && t.tag != "" {
		c.shelf.remember(ctx, t, desc.Digest)
	}
	return desc, nil
}

// evictAfter makes room again after a conversion. One that failed for lack of space
// leaves nothing worth continuing.
func (c *conversions) evictAfter(ctx context.Context, err error) {
	if isFull(err) {
		c.shelf.store.room.dropLeftovers(ctx)
	}
	if flightIn(ctx).converting() {
		c.shelf.store.room.tidy(ctx)
	}
}

// resolveTag resolves the digest of an earlier conversion by its tag.
func (c *conversions) resolveTag(ctx context.Context, t *target, tag string) (ocispec.Descriptor, error) {
	tagged := *t
	tagged.tag, tagged.digest = tag, ""
	desc, err := c.resolve(ctx, &tagged)
	if err == nil && desc.Digest != t.digest {
		return desc, &fault{
			status: http.StatusNotFound, code: codeManifestUnknown,
			message: fmt.Sprintf("%s is not stored any more, and %s, which it was converted from, is now %s", t.named(), tagged.named(), desc.Digest),
		}
	}
	return desc, err
}
