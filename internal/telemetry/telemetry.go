// Package telemetry turns what the libraries report through their hooks into
// log lines and metrics. It is the only place that does so, for containerd's
// plugin and for every program of this module: a message, a metric and a label
// mean the same everywhere.
//
// Read hooks.go first: it says what each report leads to. lines.go writes the log,
// with the texts of messages.go, and once.go keeps it from repeating itself.
// metrics.go has the metrics, with the labels of gauges.go; expiry.go and ends.go
// say when certificates expire, and soon.go says it in the log, once a day.
// downgrade.go notes hosts that are trusted for less than they could be.
package telemetry
