package shard

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/text"
)

const (
	fileBytesMax = 16 << 20 // a row of each shard of each kind takes 300 KB
	databasesMax = Count
	readersMax   = 15 // of a database
	tableMax     = Count - 1
	faultsMax    = 20 // that are told: one wrong name may be in a thousand lines
)

// The file, as it is written. What is missing is told apart from 0, because a range that forgets its end must not become
// another range.
type (
	fileForm struct {
		Databases []databaseForm `json:"databases"`
		Users     []rangeForm    `json:"users"`
		Products  []rangeForm    `json:"products"`
		Values    []rangeForm    `json:"values"`
		Checkouts []stretchForm  `json:"checkouts"`
	}
	databaseForm struct {
		place   place
		Name    string       `json:"name"`
		DSNFile string       `json:"dsn_file"`
		DSNEnv  string       `json:"dsn_env"`
		Readers []readerForm `json:"readers"`
	}
	readerForm struct {
		DSNFile string `json:"dsn_file"`
		DSNEnv  string `json:"dsn_env"`
	}
	rangeForm struct {
		place    place
		First    *int   `json:"first"`
		Last     *int   `json:"last"`
		Database string `json:"database"`
		Table    *int   `json:"table"`
	}
	stretchForm struct {
		place  place
		From   string      `json:"from"`
		Shards []rangeForm `json:"shards"`
	}
	// place is where in the file what stands before a form ends.
	place struct{ offset int64 }
)

// at makes a form remember its place: a decoder tells it only while it reads.
func at[T any](d *jsontext.Decoder, form *T) (offset int64, err error) {
	offset = d.InputOffset()
	return offset, json.UnmarshalDecode(d, form)
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (f *databaseForm) UnmarshalJSONFrom(d *jsontext.Decoder) (err error) {
	type plain databaseForm
	f.place.offset, err = at(d, (*plain)(f))
	return err
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (f *rangeForm) UnmarshalJSONFrom(d *jsontext.Decoder) (err error) {
	type plain rangeForm
	f.place.offset, err = at(d, (*plain)(f))
	return err
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (f *stretchForm) UnmarshalJSONFrom(d *jsontext.Decoder) (err error) {
	type plain stretchForm
	f.place.offset, err = at(d, (*plain)(f))
	return err
}

// Load reads the map that a file has, and the DSNs that it names. Files of DSNs are looked for beside it. Its errors
// name all faults, each with its line, and never a DSN.
func Load(path string, lookup func(string) (string, bool)) (*Map, error) {
	held, err := config.ReadForm(path, fileBytesMax)
	if err != nil {
		return nil, fmt.Errorf("shards: %w", text.OfFile(err))
	}
	m, err := parse(held, func(r readerForm) (config.Secret, error) {
		if r.DSNEnv != "" {
			dsn, _ := lookup(r.DSNEnv)
			return config.Secret(dsn), nil
		}
		return config.Secret("").FromFile("dsn_file", config.Beside(path, r.DSNFile))
	})
	if err != nil {
		return nil, fmt.Errorf("shards: %s: %w", path, err)
	}
	return m, nil
}

// Files are the files of DSNs that a file names, also if it is no map. They are secret.
func Files(path string) (files []string) {
	held, err := config.ReadForm(path, fileBytesMax)
	if err != nil {
		return nil
	}
	var form fileForm
	_ = json.Unmarshal(held, &form) // Load says what is wrong
	for _, d := range form.Databases {
		for _, of := range append([]readerForm{{DSNFile: d.DSNFile}}, d.Readers...) {
			if of.DSNFile != "" {
				files = append(files, config.Beside(path, of.DSNFile))
			}
		}
	}
	return files
}

// reading is a file while it is read.
type reading struct {
	text   config.Form
	used   map[string]int // the index of each database, negative (^index) until a shard is in it
	faults []error
}

func (r *reading) fault(p place, format string, args ...any) {
	r.add(fmt.Errorf("line %d: "+format, append([]any{r.text.LineBehind(p.offset)}, args...)...))
}

func (r *reading) add(fault error) {
	if len(r.faults) < faultsMax {
		r.faults = append(r.faults, fault)
	}
}

func parse(text []byte, dsnOf func(readerForm) (config.Secret, error)) (*Map, error) {
	r := &reading{text: text, used: map[string]int{}}
	var form fileForm
	if err := r.text.Into(&form, fileBytesMax); err != nil {
		return nil, err
	}
	m := &Map{monthly: make([]*places, months)}
	r.databases(m, form.Databases, dsnOf)
	for kind, ranges := range [...][]rangeForm{Users: form.Users, Products: form.Products, Values: form.Values} {
		m.fixed[kind] = r.places(Kind(kind).String(), ranges)
	}
	r.checkouts(m, form.Checkouts)
	for _, d := range form.Databases {
		if r.used[d.Name] < 0 {
			r.fault(d.place, "database %q: no shard is in it", d.Name)
		}
	}
	if err := errors.Join(r.faults...); err != nil {
		return nil, err
	}
	return m, nil
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	envForm  = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,99}$`)
	// alike makes one of names that people take for each other, as Crockford does with ids.
	alike = strings.NewReplacer("i", "1", "l", "1", "o", "0", "-", "")
)

func (r *reading) databases(m *Map, forms []databaseForm, dsnOf func(readerForm) (config.Secret, error)) {
	if len(forms) == 0 || len(forms) > databasesMax {
		r.add(fmt.Errorf("databases: %d of them, want 1 to %d", len(forms), databasesMax))
		return
	}
	names, servers := map[string]string{}, map[string]string{}
	for i, d := range forms {
		m.databases = append(m.databases, Database{Name: d.Name})
		if !nameForm.MatchString(d.Name) {
			r.fault(d.place, "database %q: want a name of 1 to 40 small letters, digits and dashes between them", d.Name)
			continue
		}
		look := alike.Replace(d.Name)
		if other, twice := names[look]; twice {
			r.fault(d.place, "database %q: it looks like database %q", d.Name, other)
			continue
		}
		names[look], r.used[d.Name] = d.Name, ^i
		if len(d.Readers) > readersMax {
			r.fault(d.place, "database %q: %d readers, want at most %d", d.Name, len(d.Readers), readersMax)
			continue
		}
		into := &m.databases[i]
		into.DSN = r.dsn(d, "database "+strconv.Quote(d.Name), readerForm{d.DSNFile, d.DSNEnv}, dsnOf, servers)
		for n, reader := range d.Readers {
			name := fmt.Sprintf("reader %d of database %q", n+1, d.Name)
			into.Readers = append(into.Readers, r.dsn(d, name, reader, dsnOf, servers))
		}
	}
}

// dsn reads the DSN of a database or of a reader. No two of them are the same, however they are written.
func (r *reading) dsn(d databaseForm, name string, f readerForm, dsnOf func(readerForm) (config.Secret, error), servers map[string]string) config.Secret {
	if (f.DSNFile == "") == (f.DSNEnv == "") || f.DSNEnv != "" && !envForm.MatchString(f.DSNEnv) {
		r.fault(d.place, "%s: want a dsn_file, which is a file, or a dsn_env, which is a variable of the environment", name)
		return ""
	}
	dsn, err := dsnOf(f)
	if err == nil && dsn == "" {
		r.fault(d.place, "%s: %s%s is empty", name, f.DSNFile, f.DSNEnv)
		return ""
	}
	var where string
	if err == nil {
		where, err = db.Where(dsn)
	}
	if err != nil {
		r.fault(d.place, "%s: %w", name, err)
		return ""
	}
	if other, twice := servers[where]; twice {
		r.fault(d.place, "%s: it is %s, by another DSN or the same", name, other)
		return ""
	}
	servers[where] = name
	return dsn
}

// places reads the places of all shards of a kind. Each shard has to have exactly one.
func (r *reading) places(kind string, ranges []rangeForm) *places {
	all := new(places)
	var lines [Count]int
	before := len(r.faults)
	for _, f := range ranges {
		if f.First == nil || f.Last == nil || *f.First < 0 || *f.First > *f.Last || *f.Last >= Count {
			r.fault(f.place, "%s: want a first and a last shard of 0 to %d", kind, Count-1)
			continue
		}
		where, ok := r.placeOf(kind, f)
		if !ok {
			continue
		}
		line := r.text.LineBehind(f.place.offset)
		for n := *f.First; n <= *f.Last; n++ {
			if lines[n] != 0 {
				r.fault(f.place, "%s: shard %d has a place in line %d already", kind, n, lines[n])
				break
			}
			all[n], lines[n] = where, line
		}
	}
	if len(r.faults) > before {
		return all // a range that was refused is no gap
	}
	for n := 0; n < Count; n++ {
		if lines[n] != 0 {
			continue
		}
		first := n
		for n+1 < Count && lines[n+1] == 0 {
			n++
		}
		r.add(fmt.Errorf("%s: shards %d to %d have no place", kind, first, n))
	}
	return all
}

func (r *reading) placeOf(kind string, f rangeForm) (Place, bool) {
	database, known := r.used[f.Database]
	if !known {
		r.fault(f.place, "%s: database %q: databases has none of this name", kind, f.Database)
		return Place{}, false
	}
	database = max(database, ^database)
	r.used[f.Database] = database
	switch {
	case f.Table == nil:
		return Place{Database: database}, true
	case *f.Table < 0 || *f.Table > tableMax:
		r.fault(f.place, "%s: table %d: want 0 to %d, or none for tables without a suffix", kind, *f.Table, tableMax)
		return Place{}, false
	}
	return Place{Database: database, Suffix: "_" + strconv.Itoa(*f.Table)}, true
}

// checkouts reads the stretches of months: each lasts until the next one begins, the last one for ever. So a shop grows
// without moving rows: new months go to new databases.
func (r *reading) checkouts(m *Map, stretches []stretchForm) {
	next := Month(0)
	for i, f := range stretches {
		from, ok := parseMonth(f.From)
		switch {
		case !ok:
			r.fault(f.place, "checkouts: from %q: want a month such as 2026-11, from 2024-01 on", f.From)
			continue
		case i == 0 && from != 0:
			r.fault(f.place, "checkouts: from %s: the first stretch begins with %s, because ids do", from, Month(0))
		case i > 0 && from < next:
			r.fault(f.place, "checkouts: from %s: want a month after the one before", from)
		}
		all := r.places("checkouts from "+from.String(), f.Shards)
		for month := int(from); month < months; month++ {
			m.monthly[month] = all
		}
		next = from + 1
	}
	if len(stretches) == 0 {
		r.add(errors.New("checkouts: no month has a place"))
	}
}
