package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/certsd/containerd-certsd/internal/bytesize"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// MaxJSON bounds the answer of a daemon, in bytes.
const MaxJSON = 64 << 20

// Read reads the answer of a daemon, and makes all of it safe to print.
func Read(r io.Reader) (*Status, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxJSON+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxJSON {
		return nil, fmt.Errorf("the status has more than %s", bytesize.Limit(MaxJSON))
	}
	var version struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, fmt.Errorf("the status is not valid JSON: %w", err)
	}
	switch {
	case version.Schema == 0:
		return nil, errors.New("the answer is not a status of certsd")
	case version.Schema > Schema:
		return nil, fmt.Errorf("the status has schema %d, and this certsd knows %d: update it", version.Schema, Schema)
	}
	var st Status
	if err := json.Unmarshal(text, &st); err != nil {
		return nil, fmt.Errorf("the status: %w", err)
	}
	return &st, nil
}

// line returns text of a daemon that is safe to show.
func line(text string) string { return safetext.Line(text, maxText) }
