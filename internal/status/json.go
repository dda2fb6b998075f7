package status

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/certsd/containerd-certsd/internal/bytesize"
	"github.com/certsd/containerd-certsd/internal/safetext"
)

// MaxJSON bounds what a daemon may answer, in bytes.
const MaxJSON = 64 << 20

// Read reads what a daemon has answered. Whatever it is, nothing in it does more
// than print.
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

// line is text of a daemon's as it may be shown.
func line(text string) string { return safetext.Line(text, maxText) }
