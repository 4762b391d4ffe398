package api

import "unsafe"

// view returns b as a string, without a copy, for calls that keep neither. BenchmarkView measures the cost of a copy.
// It is the only unsafe conversion of the package.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
