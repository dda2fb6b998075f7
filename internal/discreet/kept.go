package discreet

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus" //nolint:depguard // containerd's package has no way to see a line before it is written
)

// Kept returns a context whose logger writes nothing, and a function that returns the
// errors logged: some of containerd's functions report an error in no other way.
func Kept(ctx context.Context) (context.Context, func() []error) {
	k := &keeper{}
	logger := &logrus.Logger{Out: io.Discard, Formatter: nothing{}, Hooks: logrus.LevelHooks{}, Level: logrus.ErrorLevel}
	logger.AddHook(k)
	return log.WithLogger(ctx, logrus.NewEntry(logger)), k.all
}

// keeper is a hook that keeps errors.
type keeper struct {
	// mu guards errs.
	mu   sync.Mutex
	errs []error
}

// Levels implements logrus.Hook.
func (*keeper) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

// Fire implements logrus.Hook.
func (k *keeper) Fire(e *logrus.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	err, ok := e.Data[logrus.ErrorKey].(error)
	if !ok {
		err = errors.New(Text(e.Message))
	}
	k.errs = append(k.errs, err)
	return nil
}

func (k *keeper) all() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.errs
}
