// Package monitoring holds what operators watch, the rules and dashboards in deploy/ and the pages in docs/runbooks, to
// the metrics that the program has. It is all tests.
package monitoring
