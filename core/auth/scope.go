package auth

import (
	"fmt"
	"strings"
)

// Scopes narrow what the bearer of a service's token may do: to reading users, say. The zero value narrows nothing, so that a
// service has one token for all unless somebody asks for less.
type Scopes uint16

// The scopes. An operation that services may call needs one of them.
const (
	ScopeStockRead    Scopes = 1 << iota // look at reservations and stock
	ScopeStockWrite                      // reserve, confirm, release, return
	ScopeUsersRead                       // look at users
	ScopeUsersWrite                      // make and change users
	ScopeProductsRead                    // look at all products, whoever sells them

	narrowed Scopes = 1 << 15 // there is a list of scopes, even if this program knows none of them
)

var scopeWords = []struct {
	word  string
	scope Scopes
}{
	{"stock:read", ScopeStockRead},
	{"stock:write", ScopeStockWrite},
	{"users:read", ScopeUsersRead},
	{"users:write", ScopeUsersWrite},
	{"products:read", ScopeProductsRead},
}

// ScopeWords are the words of all scopes, as tokens carry them.
func ScopeWords() []string {
	words := make([]string, len(scopeWords))
	for i, s := range scopeWords {
		words[i] = s.word
	}
	return words
}

// ParseScopes reads words of scopes. Without a word nothing is narrowed.
func ParseScopes(words ...string) (set Scopes, err error) {
	for _, word := range words {
		one := scopeOf(word)
		if one == 0 {
			return 0, fmt.Errorf("scope %.40q: want %s", word, strings.Join(ScopeWords(), ", "))
		}
		set |= one | narrowed
	}
	return set, nil
}

// scopesOf reads the claim of a token. A word that a newer program has given allows nothing here.
func scopesOf(claim string) Scopes {
	set := narrowed
	for _, word := range strings.Split(claim, " ") {
		set |= scopeOf(word)
	}
	return set
}

func scopeOf(word string) Scopes {
	for _, s := range scopeWords {
		if s.word == word {
			return s.scope
		}
	}
	return 0
}

// Allow reports whether a token with these scopes may do what needs one.
func (s Scopes) Allow(one Scopes) bool { return s == 0 || s&one != 0 }

// Lacking says of a refused token which scope it would need.
func (s Scopes) Lacking() string { return "the token is narrowed to other scopes than " + s.String() }

// String lists the words, with a blank between them, as a token carries them.
func (s Scopes) String() string {
	var words []string
	for _, known := range scopeWords {
		if s&known.scope != 0 {
			words = append(words, known.word)
		}
	}
	return strings.Join(words, " ")
}
