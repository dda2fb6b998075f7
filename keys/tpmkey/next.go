package tpmkey

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/google/go-tpm/tpm2"

	"github.com/certsd/containerd-certsd/internal/nextstep"
)

// withNext adds what to do about a TPM's error, where that is known.
func withNext(err error) error {
	next := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		next = "there is no TPM, or it is somewhere else: set " + variable
	case errors.Is(err, fs.ErrPermission):
		next = "add the user that pulls to the group of the device: ls -l " + defaultDevice
	case errors.Is(err, syscall.EBUSY):
		next = "another program has it open: use " + defaultDevice
	case errors.Is(err, syscall.ECONNREFUSED):
		next = "it is not running, or is somewhere else: " + variable + " says where"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w within %s", errSlow, hardLimit)
	case errors.Is(err, tpm2.TPMRCInitialize):
		next = "start it: tpm2_startup -c"
	case errors.Is(err, tpm2.TPMRCObjectMemory):
		next = "other programs use all of its memory: use " + defaultDevice + ", or tpm2_flushcontext -t"
	case errors.Is(err, tpm2.TPMRCLockout):
		next = "it is locked after too many wrong passwords: tpm2_getcap properties-variable; tpm2_dictionarylockout -c"
	case errors.Is(err, tpm2.TPMRCFailure):
		next = "it failed its self-test, and needs a reset"
	}
	if next == "" {
		return err
	}
	return nextstep.With(err, next)
}
