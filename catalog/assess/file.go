package assess

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/config"
	"sluice/core/text"
)

const (
	fileBytesMax = 1 << 20
	rulesMax     = 200 // each is asked in turn
	faultsMax    = 20  // that are told
)

// Rules are those of a file. They never change.
type Rules struct {
	version string
	rules   []rule
}

type rule struct {
	name string
	at   []Moment
	when []condition
	then Answer
}

// Version tells rules from others: it follows from what the file says.
func (r *Rules) Version() string { return r.version }

//go:embed rules.json
var defaultRules []byte

// Default are the rules of a shop that has no file of its own.
func Default() *Rules {
	r, err := Parse(defaultRules)
	if err != nil {
		panic(err) // a test reads them
	}
	return r
}

// Load reads the rules of a file; without one it returns Default. Its errors name all faults, each with its line.
func Load(path string) (*Rules, error) {
	if path == "" {
		return Default(), nil
	}
	held, err := config.ReadForm(path, fileBytesMax)
	if err != nil {
		return nil, fmt.Errorf("rules %w", text.OfFile(err))
	}
	r, err := Parse(held)
	if err != nil {
		return nil, fmt.Errorf("rules %s: %w", path, err)
	}
	return r, nil
}

// The file, as it is written.
type (
	fileForm struct {
		Lists map[string][]string `json:"lists"`
		Rules []ruleForm          `json:"rules"`
	}
	ruleForm struct {
		offset int64
		Name   string                  `json:"name"`
		About  string                  `json:"about"` // for people
		At     []Moment                `json:"at"`
		When   map[Fact]*conditionForm `json:"when"`
		Then   Answer                  `json:"then"`
	}
	conditionForm struct {
		Above *int64   `json:"above"`
		Below *int64   `json:"below"`
		In    []string `json:"in"`
		NotIn []string `json:"not_in"`
	}
)

// UnmarshalJSONFrom implements json.UnmarshalerFrom. A decoder tells only while it reads where it is.
func (f *ruleForm) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain ruleForm
	offset := d.InputOffset()
	err := json.UnmarshalDecode(d, (*plain)(f))
	f.offset = offset
	return err
}

// known is what a fact has, and at which moments it may be known.
var known = map[Fact]struct {
	word func(string) bool // whether it is a word of the fact; nil: it has numbers
	at   []Moment
}{
	NetworkUsers: {nil, []Moment{SignUp, Application}},
	NetworkName:  {isNetwork, []Moment{SignUp, Application}},
	MailDomain:   {regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$`).MatchString, []Moment{SignUp, Application}},
	Region:       {regexp.MustCompile(`^[a-z][a-z0-9-]{1,15}$`).MatchString, []Moment{SignUp, Application}},
	Locale:       {regexp.MustCompile(`^[a-z]{2}(-[A-Z]{2})?$`).MatchString, []Moment{SignUp, Application}},
	AccountAge:   {nil, []Moment{Application}},
	Applications: {nil, []Moment{Application}},
	Rejections:   {nil, []Moment{Application}},
	Country:      {countryForm.MatchString, []Moment{Application}},
	PhoneCountry: {countryForm.MatchString, []Moment{Application}},
}

var countryForm = regexp.MustCompile(`^[A-Z]{2}$`)

// isNetwork reports whether a text is one of the networks that are counted.
func isNetwork(text string) bool {
	prefix, err := netip.ParsePrefix(text)
	return err == nil && NetworkOf(prefix.Addr()).String() == text
}

var (
	moments = []Moment{SignUp, Application}
	answers = []Answer{Allow, Challenge, Hold, Deny}

	nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
)

// reading is a file while it is read.
type reading struct {
	text   config.Form
	lists  map[string][]string
	faults []error
}

// Parse reads rules.
func Parse(held []byte) (*Rules, error) {
	r := &reading{text: held}
	var form fileForm
	if err := r.text.Into(&form, fileBytesMax); err != nil {
		return nil, err
	}
	r.lists = form.Lists
	rules := r.rules(form.Rules)
	if err := errors.Join(r.faults...); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(held)
	return &Rules{version: hex.EncodeToString(sum[:8]), rules: rules}, nil
}

// fault notes what is wrong with a rule, with the line in which it begins.
func (r *reading) fault(f *ruleForm, format string, args ...any) {
	if len(r.faults) == faultsMax {
		return
	}
	r.faults = append(r.faults, fmt.Errorf("line %d: rule %.60q: "+format, append([]any{r.text.LineBehind(f.offset), f.Name}, args...)...))
}

func (r *reading) rules(forms []ruleForm) (all []rule) {
	for _, name := range slices.Sorted(maps.Keys(r.lists)) {
		if !nameForm.MatchString(name) {
			r.faults = append(r.faults, fmt.Errorf("list %.60q: want a name of small letters, digits and underscores", name))
		}
	}
	if len(forms) > rulesMax {
		r.faults = append(r.faults, fmt.Errorf("%d rules, want at most %d", len(forms), rulesMax))
		return nil
	}
	names, decided := map[string]bool{}, map[Moment]string{}
	for i := range forms {
		f := &forms[i]
		switch {
		case !nameForm.MatchString(f.Name):
			r.fault(f, "want a name of small letters, digits and underscores")
		case names[f.Name]:
			r.fault(f, "there is another one with this name")
		}
		names[f.Name] = true
		if !slices.Contains(answers, f.Then) {
			r.fault(f, "then %.40q: want allow, challenge, hold or deny", string(f.Then))
		}
		all = append(all, rule{f.Name, f.At, r.conditions(f), f.Then})
		r.moments(f, decided)
	}
	return all
}

// moments checks when a rule counts. One behind a rule that decides always would never count.
func (r *reading) moments(f *ruleForm, decided map[Moment]string) {
	if len(f.At) == 0 {
		r.fault(f, "at: want one or more moments: sign_up, application")
	}
	behind := 0
	for _, m := range f.At {
		if !slices.Contains(moments, m) {
			r.fault(f, "at %.40q: want sign_up or application", string(m))
		}
		if decided[m] != "" {
			behind++
		}
	}
	if behind > 0 && behind == len(f.At) {
		r.fault(f, "it is never asked, because rule %q before it has no condition", decided[f.At[0]])
	}
	if len(f.When) == 0 {
		for _, m := range f.At {
			if decided[m] == "" {
				decided[m] = f.Name
			}
		}
	}
}

func (r *reading) conditions(f *ruleForm) (all []condition) {
	for _, of := range slices.Sorted(maps.Keys(f.When)) {
		about, is := known[of]
		form := f.When[of]
		switch {
		case !is:
			r.fault(f, "when %.40q: there is no such fact", string(of))
			continue
		case form == nil:
			r.fault(f, "when %q: want a condition", string(of))
			continue
		}
		for _, m := range f.At {
			if !slices.Contains(about.at, m) {
				r.fault(f, "when %q: nobody knows that at %.40q", string(of), string(m))
			}
		}
		c, want := condition{of: of, above: form.Above, below: form.Below}, ""
		numbers, words := c.above != nil || c.below != nil, len(form.In) > 0 || len(form.NotIn) > 0
		switch {
		case about.word == nil && (words || !numbers):
			want = "above or below, or both"
		case about.word != nil && (numbers || (len(form.In) > 0) == (len(form.NotIn) > 0)):
			want = "in or not_in, with one or more words"
		case c.above != nil && c.below != nil && (*c.above >= *c.below || *c.above+1 == *c.below):
			want = "a number between above and below"
		case words:
			c.not = len(form.NotIn) > 0
			c.words = r.words(f, of, about.word, append(form.In, form.NotIn...))
		}
		if want != "" {
			r.fault(f, "when %q: want %s", string(of), want)
		}
		all = append(all, c)
	}
	return all
}

// words is the set of some words. @name stands for those of a list.
func (r *reading) words(f *ruleForm, of Fact, is func(string) bool, list []string) map[string]bool {
	set := map[string]bool{}
	for _, word := range list {
		here := []string{word}
		if name, list := strings.CutPrefix(word, "@"); list {
			if here, list = r.lists[name]; !list {
				r.fault(f, "when %q: there is no list %.60q", string(of), name)
			}
		}
		for _, word := range here {
			if !is(word) {
				r.fault(f, "when %q: %.80q is none", string(of), word)
			}
			set[word] = true
		}
	}
	return set
}
