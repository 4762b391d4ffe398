// Package api owns the edge's HTTP API: routes, strict decoding, admission, and problem documents. It decides nothing
// about stock. The Decider decides the requests that it lets through.
//
// Every byte slice of a request belongs to fasthttp, which reuses it after the handler's return. The package copies what
// lives longer where it reads it.
package api
