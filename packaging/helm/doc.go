// Package helm tests the chart in certsd: what it renders is decoded by Kubernetes'
// own types (objects_test.go), its command lines by certsd (chart_test.go), and its
// documents are those of its schema (values_test.go). It has tests only.
package helm
