package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"github.com/certsd/containerd-certsd/certsd"
	"github.com/certsd/containerd-certsd/certsd/hostdir"
	"github.com/certsd/containerd-certsd/internal/imagecopy"
	"github.com/certsd/containerd-certsd/internal/pull"
	"github.com/certsd/containerd-certsd/resolver"
)

// outcome is an error with its exit code, for commands that are repeated until they
// succeed. An unusable configuration has a code of its own.
type outcome struct {
	error
	code int
}

// Unwrap returns the cause.
func (o *outcome) Unwrap() error { return o.error }

// repeatable gives the error of a transfer its exit code.
func repeatable(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &outcome{err, exitInterrupted}
	case final(err):
		return &outcome{err, exitFinal}
	default:
		return err
	}
}

// final reports whether the same command cannot succeed: what it wants is missing,
// refused or unusable. The attempts count, too: if one certificate got a 503, the 403
// for the next is not final.
func final(err error) bool {
	if e := (*resolver.Error)(nil); errors.As(err, &e) && e.Trail != nil && passing(e.Trail.Attempts()) {
		return false
	}
	if errors.As(err, new(*imagecopy.ReferrersError)) {
		return false
	}
	if p := (*certsd.Problem)(nil); errors.As(err, &p) && p.Severity == hostdir.Failure {
		return true // until the configuration is fixed
	}
	var status remoteserrors.ErrUnexpectedStatus
	if errors.As(err, &status) && mayPass(status.StatusCode) {
		return false
	}
	if errors.As(err, &status) && status.StatusCode >= http.StatusBadRequest {
		return true
	}
	return refused(err) || imagecopy.Unusable(err) || errors.As(err, new(*pull.DigestError)) || errors.As(err, new(*pull.MissingPlatformError)) ||
		errors.Is(err, docker.ErrInvalidAuthorization) ||
		errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) ||
		errdefs.IsInvalidArgument(err) || errdefs.IsFailedPrecondition(err) || errdefs.IsNotImplemented(err)
}

// passing reports whether a transient failure followed the last success.
func passing(attempts []certsd.Attempt) bool {
	for i := len(attempts) - 1; i >= 0; i-- {
		a := &attempts[i]
		switch {
		case a.Skipped != "" || a.Refused:
		case a.Err != nil && !refused(a.Err) && !errors.Is(a.Err, context.Canceled), mayPass(a.Status):
			return true
		case a.Status > 0 && a.Status < http.StatusBadRequest:
			return false
		}
	}
	return false
}

// mayPass reports whether a status may be transient.
func mayPass(status int) bool {
	switch status {
	case http.StatusNotImplemented:
		return false
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return status >= http.StatusInternalServerError
	}
}

// refused reports whether one side rejected the other's certificate.
func refused(err error) bool {
	if errors.As(err, new(*tls.CertificateVerificationError)) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}
