// Package telemetry turns what the libraries report through their hooks into log lines
// and metrics. It is the only place that does so, for containerd's plugin and for every
// program of this module: a message, a metric and a label mean the same everywhere.
//
// Read hooks.go first: it maps each report to its log lines and metrics. lines.go
// writes the log, with the texts of messages.go, and once.go keeps it from repeating
// itself. metrics.go defines the metrics, with the labels of gauges.go; expiry.go and
// ends.go show when certificates expire, and soon.go logs it once a day. downgrade.go
// logs hosts that are trusted with less verification than possible.
package telemetry
