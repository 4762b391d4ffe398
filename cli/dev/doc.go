// Package dev is `sluice dev`: a whole sluice in one process, on private servers that it starts and stops. It is for
// development, demonstrations and load tests on one machine. It holds no rules of its own.
package dev
