package money

import (
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
)

// Currency is one of the currencies that ISO 4217 has for payments. The zero value is none.
type Currency struct{ code string }

// digitsOf has the digits behind the point of each currency, as ISO 4217 says: some lists have fewer, because people do not
// use them. Funds, metals and codes for tests are no currencies here, because nobody can pay with them.
var digitsOf = func() map[string]int {
	all := map[string]int{}
	for digits, codes := range map[int]string{
		0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF`,
		2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY COP CRC CUP
			CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
			KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
			NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB
			TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD XCG YER ZAR ZMW ZWG`,
		3: `BHD IQD JOD KWD LYD OMR TND`,
	} {
		for code := range strings.FieldsSeq(codes) {
			all[code] = digits
		}
	}
	return all
}()

// In returns the currency of a code: three capital letters.
func In(code string) (Currency, error) {
	if _, known := digitsOf[code]; !known {
		return Currency{}, fmt.Errorf("no currency %.10q: want a code of ISO 4217, such as EUR", code)
	}
	return Currency{strings.Clone(code)}, nil
}

// Currencies are all of them, by code.
func Currencies() []Currency {
	all := make([]Currency, 0, len(digitsOf))
	for code := range digitsOf {
		all = append(all, Currency{code})
	}
	slices.SortFunc(all, func(a, b Currency) int { return strings.Compare(a.code, b.code) })
	return all
}

// Digits is how many digits stand behind the point: the minor unit is the last of them.
func (c Currency) Digits() int { return digitsOf[c.code] }

// String is the code, or empty for none.
func (c Currency) String() string { return c.code }

// MarshalText implements encoding.TextMarshaler, and with it JSON. None is an error.
func (c Currency) MarshalText() ([]byte, error) {
	if c.code == "" {
		return nil, errNoCurrency
	}
	return []byte(c.code), nil
}

// UnmarshalText implements encoding.TextUnmarshaler, as In.
func (c *Currency) UnmarshalText(text []byte) (err error) {
	read, err := In(string(text))
	if err == nil {
		*c = read
	}
	return err
}

// Value implements driver.Valuer: SQL has the code. None is an error.
func (c Currency) Value() (driver.Value, error) {
	if c.code == "" {
		return nil, errNoCurrency
	}
	return c.code, nil
}

// Scan implements sql.Scanner.
func (c *Currency) Scan(from any) error {
	switch from := from.(type) {
	case string:
		return c.UnmarshalText([]byte(from))
	case []byte:
		return c.UnmarshalText(from)
	}
	return fmt.Errorf("%T is no currency: want a text", from)
}
