package cart

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/money"
	"sluice/core/stock"
)

// linesBytesMax bounds what a row or a key has of a cart: a line takes about 100 bytes.
const linesBytesMax = 32 << 10

// lineForm is a line as rows and keys have it. Names are short, because a cart has up to 100 of each.
type lineForm struct {
	SKU      int64         `json:"s"`
	Quantity int           `json:"q"`
	Later    bool          `json:"l,omitzero"`
	At       int64         `json:"t"` // ms since 1970
	Was      *money.Amount `json:"w,omitempty"`
}

// encode writes lines.
func encode(lines []Line) ([]byte, error) {
	forms := make([]lineForm, 0, len(lines))
	for _, l := range lines {
		forms = append(forms, lineForm{SKU: l.SKU, Quantity: l.Quantity, Later: l.Later, At: l.At.UnixMilli(), Was: l.Was})
	}
	text, err := json.Marshal(forms)
	if err == nil && len(text) > linesBytesMax {
		err = fmt.Errorf("%d bytes of lines, want at most %d", len(text), linesBytesMax)
	}
	if err != nil {
		return nil, fmt.Errorf("write a cart: %w: %w", stock.ErrNotApplied, err)
	}
	return text, nil
}

var errLines = errors.New("the lines of a cart are damaged")

// decode reads what encode writes, and nothing that no cart has.
func decode(text []byte) ([]Line, error) {
	if len(text) > linesBytesMax {
		return nil, errLines
	}
	var forms []lineForm
	if err := json.Unmarshal(text, &forms, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("%w: %w", errLines, err)
	}
	if len(forms) > LinesMax {
		return nil, errLines
	}
	c := Cart{Lines: make([]Line, 0, len(forms))}
	for _, form := range forms {
		l := Line{SKU: form.SKU, Quantity: form.Quantity, Later: form.Later, At: time.UnixMilli(form.At).UTC(), Was: form.Was}
		if l.check() != nil || l.Was != nil && l.Was.Check() != nil || c.find(l.SKU) >= 0 {
			return nil, errLines
		}
		c.Lines = append(c.Lines, l)
	}
	return c.Lines, nil
}
