// Package reqctx has what a request tells its transport by its context, where only
// packages of this module have something to tell: presented.go, which client
// certificates are not to be presented again; grant.go, an Authorization that a
// redirect does not take away. What every caller may say is in package certsd:
// WithRepository and WithTrail.
package reqctx
