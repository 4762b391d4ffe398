package command

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"sluice/core/config"
	"sluice/core/moment"
)

// Values says how flags, arguments and environment variables are read. Errors speak of the user's own words. Kong
// itself would show errors of Go, and take 010 for 8.
func Values() kong.Option {
	return kong.OptionFunc(func(k *kong.Kong) error {
		var faults []error
		for _, option := range []kong.Option{
			kong.TypeMapper(reflect.TypeFor[time.Duration](), oneWord(readDuration)),
			kong.TypeMapper(reflect.TypeFor[time.Time](), oneWord(readTime)),
			kong.TypeMapper(reflect.TypeFor[*time.Time](), oneWord(readTime)), // otherwise a time would read itself
			kong.TypeMapper(reflect.TypeFor[saleTime](), oneWord(readSaleTime)),
			kong.KindMapper(reflect.Int, oneWord(readInteger)),
			kong.KindMapper(reflect.Int64, oneWord(readInteger)),
			kong.KindMapper(reflect.Uint32, oneWord(readNatural)),
			kong.KindMapper(reflect.Float64, oneWord(readNumber)),
			kong.KindMapper(reflect.String, oneWord(readText)),
			kong.KindMapper(reflect.Bool, boolean{}),
		} {
			faults = append(faults, option.Apply(k))
		}
		return errors.Join(faults...)
	})
}

// Texts gives flags the help of their settings.
func Texts() kong.Option {
	return kong.PostBuild(func(k *kong.Kong) error {
		texts := config.TextsOf(k.Model.Target)
		return kong.Visit(k.Model.Node, func(node kong.Visitable, next kong.Next) error {
			if f, ok := node.(*kong.Flag); ok && f.Target.CanAddr() {
				if text, ok := texts[f.Target.Addr().Interface()]; ok {
					f.Help, f.OrigHelp = text.Help, text.Help
				}
			}
			return next(nil)
		})
	})
}

// oneWord returns the mapper of a value that is one word.
func oneWord(read func(word string, into reflect.Value) error) kong.MapperFunc {
	return func(d *kong.DecodeContext, into reflect.Value) error {
		token := d.Scan.Pop()
		switch {
		case token.IsEOL():
			return errors.New("a value is missing")
		case !token.IsValue():
			return fmt.Errorf("a value is missing; if it is %s, write --%s=%[1]s", token, d.Value.Name)
		}
		word := token.String()
		err := read(word, into)
		if err == nil {
			err = within(d.Value, word)
		}
		if err != nil {
			return fmt.Errorf("%.60q: %w", word, err)
		}
		return nil
	}
}

// within checks a value against its words, or against the bounds in its tag between:"LOW-HIGH". The settings of
// services have their bounds in Validate. Ids, limits and the like have the tag, because only a mapper can
// distinguish a 0 from nothing.
func within(v *kong.Value, word string) error {
	if v.Enum != "" && !slices.Contains(v.EnumSlice(), word) {
		return fmt.Errorf("want %s", strings.Join(slices.DeleteFunc(v.EnumSlice(), func(w string) bool { return w == "" }), ", "))
	}
	low, high, bounded := strings.Cut(v.Tag.Get("between"), "-")
	if !bounded {
		return nil
	}
	if v.Target.Type() == reflect.TypeFor[time.Duration]() {
		return between(word, low, high, time.ParseDuration, "want a duration, %v to %v")
	}
	return between(word, low, high, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }, "want a whole number, %d to %d")
}

func between[T cmp.Ordered](word, low, high string, parse func(string) (T, error), want string) error {
	n, err := parse(word)
	least, err1 := parse(low)
	most, err2 := parse(high)
	if err := errors.Join(err1, err2); err != nil {
		panic(err) // the tags are our own
	}
	if err != nil || n < least || n > most {
		return fmt.Errorf(want, least, most)
	}
	return nil
}

func readDuration(word string, into reflect.Value) error {
	d, err := time.ParseDuration(word)
	if err != nil {
		return errors.New("want a duration with its unit, such as 300ms, 5s or 24h")
	}
	into.SetInt(int64(d))
	return nil
}

func readTime(word string, into reflect.Value) error {
	at, err := moment.Parse(word)
	if err != nil {
		return err
	}
	reflect.Indirect(into).Set(reflect.ValueOf(at))
	return nil
}

func readText(word string, into reflect.Value) error {
	into.SetString(word)
	return nil
}

func readInteger(word string, into reflect.Value) error {
	n, err := strconv.ParseInt(word, 10, into.Type().Bits())
	if err != nil || strings.HasPrefix(word, "+") {
		return wantInteger(err, -1<<(into.Type().Bits()-1), 1<<(into.Type().Bits()-1)-1)
	}
	into.SetInt(n)
	return nil
}

func readNatural(word string, into reflect.Value) error {
	n, err := strconv.ParseUint(word, 10, into.Type().Bits())
	if err != nil {
		return wantInteger(err, 0, 1<<into.Type().Bits()-1)
	}
	into.SetUint(n)
	return nil
}

func wantInteger(err error, low, high int64) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("want a whole number, %d to %d", low, high)
	}
	return errors.New("want a whole number in digits, such as 500")
}

// readNumber reads a number. The bounds of the setting refuse one that is not finite.
func readNumber(word string, into reflect.Value) error {
	n, err := strconv.ParseFloat(word, into.Type().Bits())
	if err != nil {
		return errors.New("want a number, such as 10 or 0.5")
	}
	into.SetFloat(n)
	return nil
}

// boolean is the mapper of a switch, which needs no value.
type boolean struct{}

// IsBool tells kong so.
func (boolean) IsBool() bool { return true }

// Decode implements kong.Mapper.
func (boolean) Decode(d *kong.DecodeContext, into reflect.Value) error {
	if d.Scan.Peek().Type != kong.FlagValueToken {
		into.SetBool(true)
		return nil
	}
	switch word := strings.ToLower(d.Scan.Pop().String()); word {
	case "true", "yes", "1":
		into.SetBool(true)
	case "false", "no", "0":
		into.SetBool(false)
	default:
		return fmt.Errorf("%.60q: want true or false", word)
	}
	return nil
}
