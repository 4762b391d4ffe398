package api

import "unsafe"

// view is b as a string, without a copy, for calls that keep neither: BenchmarkView has what a copy
// costs. It is the only unsafe conversion of the package.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
