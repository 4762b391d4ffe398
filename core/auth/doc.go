// Package auth owns the bearer tokens of sluice: the key file, who issues and who verifies, and what
// a token says. Tokens are JWTs of the type at+jwt. A key has exactly one algorithm, and nothing in a
// token can choose another.
package auth
