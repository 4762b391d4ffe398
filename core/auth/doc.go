// Package auth owns the bearer tokens of sluice: the key file, who issues tokens, who verifies them, and what a token
// says. Tokens are JWTs of the type at+jwt. A key has exactly one algorithm, so nothing in a token can choose
// another.
package auth
