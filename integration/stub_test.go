//go:build linux

package integration

import "github.com/rogpeppe/go-internal/testscript"

type gate struct{}

func (g *gate) close() {}

func (r *rig) apacheCmd(ts *testscript.TestScript, neg bool, args []string) {}
func (r *rig) gateCmd(ts *testscript.TestScript, neg bool, args []string)   {}
func (r *rig) v1treeCmd(ts *testscript.TestScript, neg bool, args []string) {}
func (r *rig) untilCmd(ts *testscript.TestScript, neg bool, args []string)  {}
