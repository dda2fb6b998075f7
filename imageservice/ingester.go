package imageservice

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/certsd/containerd-certsd/internal/manifest"
)

// ingester is containerd's content store, to which it writes blobs in as few round
// trips as the API allows, and without copying them.
type ingester struct {
	content.Store
	client contentapi.ContentClient
	// labels are set on each blob whose size is known beforehand, as it is for fetched
	// ones; nil sets none. labelled records the blobs that have them.
	labels   map[string]string
	labelled *sync.Map
}

// newIngester returns the content store behind a connection, which must use
// [ingestCodec].
func newIngester(c *connection) *ingester {
	return &ingester{Store: proxy.NewContentStore(c.ClientConn), client: contentapi.NewContentClient(c.ClientConn)}
}

// labelling returns the same store, but setting labels on fetched blobs as they are
// committed.
func (s *ingester) labelling(labels map[string]string) *ingester {
	return &ingester{Store: s.Store, client: s.client, labels: labels, labelled: &sync.Map{}}
}

// ReaderAt implements content.Provider. Manifests and configurations are read at once, by
// the digests that a registry names: of a layer, for instance, that containerd has already,
// of many gigabytes.
func (s *ingester) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	most := int64(math.MaxInt64)
	switch {
	case images.IsManifestType(desc.MediaType), images.IsIndexType(desc.MediaType):
		most = manifest.MaxSize
	case images.IsConfigType(desc.MediaType), desc.MediaType == docker.LegacyConfigMediaType:
		most = maxImageConfig
	}
	ra, err := s.Store.ReaderAt(ctx, desc)
	if err != nil || ra.Size() <= most {
		return ra, err
	}
	return nil, errors.Join(fmt.Errorf("%s has %d bytes, more than the %d of the largest %s", desc.Digest, ra.Size(), most, desc.MediaType), ra.Close())
}

// maxImageConfig bounds configurations of images in bytes.
const maxImageConfig = 16 << 20

// has reports whether a blob got its labels on commit.
func (s *ingester) has(dgst digest.Digest) bool {
	if s.labelled == nil {
		return false
	}
	_, ok := s.labelled.Load(dgst)
	return ok
}

// Writer implements content.Ingester.
func (s *ingester) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w := &ingest{}
	for _, opt := range opts {
		if err := opt(&w.wanted); err != nil {
			return nil, err
		}
	}
	if w.wanted.Desc.Size > 0 && s.labels != nil {
		w.labels, w.committed = s.labels, func(dgst digest.Digest) { s.labelled.Store(dgst, nil) }
	}
	var err error
	if w.stream, err = s.client.Write(ctx); err != nil {
		return nil, errgrpc.ToNative(err)
	}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

// ingestCodec encodes as gRPC does, but without copying the bytes of a blob.
type ingestCodec struct{ encoding.CodecV2 }

func newIngestCodec() encoding.CodecV2 { return ingestCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c ingestCodec) Marshal(v any) (mem.BufferSlice, error) {
	req, ok := v.(*contentapi.WriteContentRequest)
	if !ok || len(req.Data) == 0 {
		return c.CodecV2.Marshal(v)
	}
	head, err := c.CodecV2.Marshal(&contentapi.WriteContentRequest{
		Action: req.Action, Ref: req.Ref, Total: req.Total, Expected: req.Expected, Offset: req.Offset, Labels: req.Labels,
	})
	if err != nil {
		return nil, err
	}
	// Fields may be in any order: this one comes last.
	field := protowire.AppendTag(nil, dataField, protowire.BytesType)
	field = protowire.AppendVarint(field, uint64(len(req.Data)))
	return append(head, mem.SliceBuffer(field), mem.SliceBuffer(req.Data)), nil
}

// dataField is the number of WriteContentRequest's field "data".
const dataField = 6
