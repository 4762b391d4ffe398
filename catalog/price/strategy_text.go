package price

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// Write is the JSON of what a strategy has beside its name.
func Write(s Strategy) ([]byte, error) {
	text, err := json.Marshal(s, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("write strategy %s: %w", s.Name(), err)
	}
	return text, nil
}

// Read reads a strategy by its name, as Write writes it. Whether it can be one, Check of a promotion says.
func Read(name string, text []byte) (Strategy, error) {
	switch name {
	case Percentage{}.Name():
		return read[Percentage](text)
	case AmountOff{}.Name():
		return read[AmountOff](text)
	case Tiers{}.Name():
		return read[Tiers](text)
	case BuyPay{}.Name():
		return read[BuyPay](text)
	case Bundle{}.Name():
		return read[Bundle](text)
	}
	return nil, malformed("/strategy", "want percentage, amount, tiers, buy_pay or bundle")
}

func read[S Strategy](text []byte) (Strategy, error) {
	var s S
	if err := json.Unmarshal(text, &s, json.RejectUnknownMembers(true)); err != nil {
		return nil, malformed("/strategy", "want what a strategy of the kind %s has", s.Name())
	}
	return s, nil
}
