// Package telemetry turns what the libraries report through their hooks into
// log lines and metrics. It is the one place that does so, for containerd's
// plugin and for every program of this module: a message, a metric and a label
// mean the same wherever they are met.
package telemetry
