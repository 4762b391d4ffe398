// Package api owns what the edge understands and what it says: routes, strict decoding, admission, and
// problem documents. It decides nothing about stock; a request that it lets through is decided by the
// Decider.
//
// Every byte slice of a request belongs to fasthttp and is reused after the handler's return: what
// lives longer is copied where it is read.
package api
