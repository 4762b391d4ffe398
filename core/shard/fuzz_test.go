package shard

import (
	"strings"
	"testing"

	"sluice/core/config"
)

// onlyLetters makes any text the name of a database.
func onlyLetters(r rune) rune { return 'a' + r%26 }

// Whatever a file has: a map that is taken has a place in a known database for every shard.
func FuzzParse(f *testing.F) {
	const all = `[{"first":0,"last":1023,"database":"a","table":3}]`
	for _, text := range []string{
		"", "{}", "null", `{"databases":[{"name":"a","dsn_env":"A"}],"users":` + all + `,"products":` + all + `,"values":` + all +
			`,"checkouts":[{"from":"2024-01","shards":` + all + `}]}`,
		`{"users":[null]}`, `{"databases":[null]}`, `{"checkouts":[{"from":"2024-01","shards":[`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parse(text, func(r readerForm) (config.Secret, error) {
			return config.Secret("u@tcp(h)/" + strings.Map(onlyLetters, r.DSNEnv+r.DSNFile)), nil
		})
		if err != nil {
			return
		}
		for _, kind := range []Kind{Users, Products, Values, Checkouts} {
			for _, place := range m.Places(kind) {
				if place.Database < 0 || place.Database >= len(m.Databases()) {
					t.Errorf("%v have a place in database %d of %d", kind, place.Database, len(m.Databases()))
				}
			}
		}
		for month := range months {
			m.Place(Shard{Checkouts, Month(month), Count - 1})
		}
	})
}

func FuzzParseMonth(f *testing.F) {
	for _, text := range []string{"2024-01", "2093-09", "2024-1", "", "2024-01-01"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if month, ok := parseMonth(text); ok && (month.String() != text || int(month) >= months) {
			t.Errorf("%q is read as %v", text, month)
		}
	})
}
