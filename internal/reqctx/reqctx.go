// Package reqctx has what only packages of this module tell a transport through a
// request's context: presented.go, which client certificates not to present again;
// grant.go, an Authorization that a redirect does not take away. What every caller may
// say is in package certsd: WithRepository and WithTrail.
package reqctx
