// Package reqctx defines what only packages of this module may tell a transport through
// a request's context: presented.go, which client certificates not to present again;
// grant.go, an Authorization that survives a redirect. Package certsd has those for
// every caller: WithRepository and WithTrail.
package reqctx
