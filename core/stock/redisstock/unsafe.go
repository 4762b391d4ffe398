package redisstock

import "unsafe"

// text returns b as a string without a copy. The caller must not change b as long as the string lives.
// BenchmarkCommand shows what copies would cost: an allocation per argument.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// bytesOf returns the bytes of s without a copy. Nobody may change them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
