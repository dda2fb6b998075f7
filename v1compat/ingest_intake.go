package v1compat

import (
	"fmt"
	"io"
)

// intake processes a layer's bytes as they are received: the first of them decide
// how. It undoes compressions that containerd cannot read, stores and inspects.
type intake struct {
	limits ConvertLimits
	// open opens the destination of a layer that has any bytes.
	open func(plan) (io.Writer, error)
	// sum, if set, receives the bytes as received.
	sum io.Writer

	head   []byte // until stage is set
	guard  bombGuard
	stage  *stage
	peel   *relay // to unpeel; nil if there is nothing to undo
	peeled chan error
}

// write takes the next chunk.
func (in *intake) write(c *chunk) error {
	if most := in.limits.layer(); in.guard.receive(c.n) > most {
		c.free()
		return &limitError{fmt.Errorf("the layer has more than %d bytes, which is the limit", most)}
	}
	if in.sum != nil {
		if _, err := in.sum.Write(c.bytes()); err != nil {
			c.free()
			return err
		}
	}
	if in.stage != nil {
		return in.pass(c)
	}
	in.head = append(in.head, c.bytes()...)
	c.free()
	if len(in.head) < headSize {
		return nil
	}
	return in.begin()
}

func (in *intake) pass(c *chunk) error {
	if in.peel != nil {
		return in.peel.put(c)
	}
	return in.stage.write(c)
}

// begin plans the layer, sets up its stage and passes on the bytes kept so far.
func (in *intake) begin() error {
	p, err := planFor(in.head)
	if err != nil {
		return err
	}
	w, err := in.open(p)
	if err != nil {
		return err
	}
	in.guard.limits = in.limits
	in.stage = newStage(w, p.kind, &in.guard)
	if len(p.peel) > 0 {
		in.peel, in.peeled = newRelay(), make(chan error, 1)
		go in.unpeel(p.peel)
	}
	for len(in.head) > 0 {
		c := newChunk()
		c.n = copy(c.buf[:], in.head)
		in.head = in.head[c.n:]
		if err := in.pass(c); err != nil {
			return err
		}
	}
	in.head = nil
	return nil
}

// unpeel undoes compressions before the layer is stored.
func (in *intake) unpeel(kinds []compression) {
	err := pump(kinds, in.peel, func(c *chunk) error {
		// A layer still compressed is counted by the stage, which decompresses it.
		if in.stage.kind == plain {
			if err := in.guard.grow(c.n); err != nil {
				c.free()
				return err
			}
		}
		return in.stage.write(c)
	})
	in.peel.stop(err)
	in.peeled <- err
}

// close ends the layer and returns what the inspection found.
func (in *intake) close() (inspection, error) {
	if in.stage == nil && len(in.head) > 0 {
		if err := in.begin(); err != nil {
			return inspection{}, in.abort(err)
		}
	}
	return in.end(nil)
}

// abort gives up on the layer because of err, and returns the error to report.
func (in *intake) abort(err error) error {
	if _, werr := in.end(err); werr != err {
		return &sinkError{werr}
	}
	return err
}

func (in *intake) end(err error) (inspection, error) {
	if in.stage == nil {
		return inspection{empty: true}, err
	}
	if in.peel != nil {
		in.peel.finish(err)
		if perr := <-in.peeled; perr != nil {
			err = perr
		}
	}
	return in.stage.close(err)
}
