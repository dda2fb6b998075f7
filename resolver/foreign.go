package resolver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/containerd/containerd/v2/version"

	"github.com/certsd/containerd-certsd/internal/bounded"
)

// foreign reads content whose descriptor names URLs, from the first one that has it,
// or else from the registry. docker's fetcher would use http.DefaultClient, which
// does not read host directories, and send it the headers of the pull.
type foreign struct {
	//nolint:containedctx // requests are made by Read, which is given none
	ctx    context.Context
	client *http.Client
	urls   []string
	// plain reports whether the registry itself uses plain HTTP, so that its URLs may
	// do so, too.
	plain bool
	size  int64
	// registry reads the content from the registry.
	registry io.ReadCloser

	offset int64
	body   io.ReadCloser
	// cuts is how often the body broke off since the last byte arrived.
	cuts int
}

var _ io.ReadSeekCloser = (*foreign)(nil)

// Read implements io.Reader.
func (f *foreign) Read(p []byte) (int, error) {
	if f.body == nil {
		if err := f.open(); err != nil {
			return 0, err
		}
	}
	n, err := f.body.Read(p)
	f.offset += int64(n)
	if n > 0 {
		f.cuts = 0
	}
	if err == io.ErrUnexpectedEOF && f.offset < f.size && f.cuts < maxCuts { //nolint:errorlint // as package bounded has it
		// The next Read requests the rest.
		f.cuts++
		_ = f.closeBody()
		return n, nil
	}
	return n, err
}

// maxCuts is how often in a row content may break off without a byte, as in
// docker's fetcher.
const maxCuts = 3

// Seek implements io.Seeker.
func (f *foreign) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return f.offset, errors.New("seek before the beginning")
	}
	if offset != f.offset {
		f.offset = offset
		return offset, f.closeBody()
	}
	return offset, nil
}

// Close implements io.Closer.
func (f *foreign) Close() error { return errors.Join(f.closeBody(), f.registry.Close()) }

func (f *foreign) closeBody() error {
	if f.body == nil {
		return nil
	}
	body := f.body
	f.body = nil
	return body.Close()
}

func (f *foreign) open() error {
	var errs []error
	for _, raw := range f.urls {
		body, err := f.get(raw)
		if err == nil {
			f.body = body
			return nil
		}
		errs = append(errs, err)
	}
	if err := f.fromRegistry(); err != nil {
		return errors.Join(append(errs, err)...)
	}
	return nil
}

// fromRegistry continues at the offset with the registry's content, whose errors come
// from its reads.
func (f *foreign) fromRegistry() error {
	if s, ok := f.registry.(io.Seeker); ok {
		if _, err := s.Seek(f.offset, io.SeekStart); err != nil {
			return err
		}
	} else if f.offset > 0 {
		return fmt.Errorf("the registry's content cannot be read from byte %d on", f.offset)
	}
	f.body = io.NopCloser(f.registry)
	return nil
}

func (f *foreign) get(raw string) (io.ReadCloser, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("a URL in the descriptor is not an HTTP URL")
	}
	if u.Scheme == "http" && !f.plain {
		return nil, fmt.Errorf("a URL in the descriptor leads from https to plain HTTP, at %s: it was skipped", u.Host)
	}
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, raw, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "containerd/"+version.Version)
	req.Header.Set("Accept-Encoding", "identity")
	if f.offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", f.offset))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := f.position(resp); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp.Body, nil
}

// position ensures that the body begins at the offset.
func (f *foreign) position(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusPartialContent:
		if part, ok := bounded.ParseContentRange(resp.Header.Get("Content-Range")); !ok || part.Start != f.offset {
			return fmt.Errorf("%s answered with the range %.100q to a request from byte %d on", resp.Request.URL.Host, resp.Header.Get("Content-Range"), f.offset)
		}
		return nil
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %d for a URL in the descriptor", resp.Request.URL.Host, resp.StatusCode)
	case f.offset > 0:
		_, err := io.CopyN(io.Discard, resp.Body, f.offset)
		return err
	default:
		return nil
	}
}

// newForeign returns a reader for the URLs of a descriptor; docker's fetcher reads
// only the registry's copy.
func (f *fetcher) newForeign(ctx context.Context, urls []string, size int64, registry io.ReadCloser) *foreign {
	return &foreign{ctx: ctx, client: f.elsewhere, urls: slices.Clone(urls), plain: f.plain, size: size, registry: registry}
}
