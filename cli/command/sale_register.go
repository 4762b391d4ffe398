package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/registry"
	"sluice/core/text"
)

// SaleRegister registers users for a sale.
type SaleRegister struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID   uint32  `arg:"" name:"sale" between:"1-4294967295" help:"Sale to register users for."`
	User []int64 `placeholder:"ID" xor:"users" between:"1-9223372036854775807" help:"A user; can be repeated."`
	File string  `placeholder:"PATH" xor:"users" help:"A user id in each line; the first may be the header user_id. - is the standard input. Instead of --user."`
}

// Help is called by kong.
func (SaleRegister) Help() string {
	return `Registers users for a sale that was made with --registered-only. Whoever is registered stays so: the same file can be
loaded again after an interruption. It may come from a spreadsheet, in UTF-8 or UTF-16, with one column. A wrong line is
reported with its number and registers nobody. The other lines are registered, and the exit code is 1. When the command ends, every edge lets these users take.

Examples:
  sluice sale register 7 --user 1001 --user 1002
  sluice sale register 7 --file users.csv`
}

// registered is the result of a command: the users that it registered, or in a dry run those that it read.
type registered struct {
	Sale       uint32  `json:"sale_id,string"`
	Result     string  `json:"result"` // ok or dry_run
	Lines      int64   `json:"lines"`  // read, wrong ones included
	Wrong      int64   `json:"wrong"`
	Added      int64   `json:"added"`      // users who were not registered before
	Registered int64   `json:"registered"` // users of the sale afterwards; 0 in a dry run, and where all lines are wrong
	Changed    bool    `json:"changed"`
	Seconds    float64 `json:"seconds"`
}

// Run is called by kong.
func (s *SaleRegister) Run(ctx context.Context, c *Console) (err error) {
	if len(s.User) == 0 && s.File == "" {
		return usage(errors.New("want users: --user, or --file"))
	}
	source, size, err := s.source(ctx, c)
	if err != nil {
		return usage(err)
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	if err := s.check(c); err != nil {
		return err
	}
	if !s.DryRun {
		if err := s.ask(ctx, c, fmt.Sprintf("About to register users for sale %d in deployment %s", s.ID, s.Stock.Deployment), "register"); err != nil {
			return err
		}
	}
	s.Redis.CallTimeout = max(s.Redis.CallTimeout, loadCallTimeout)
	o, err := s.target(ctx, c, s.DryRun, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	users := registry.New(o.DB, o.Stock)
	counted := &countingReader{r: source}
	load := &userLoad{c: c, file: s.File, progress: &progress{c: c, total: size, done: counted.count, now: time.Now}}
	if load.done = (registered{Sale: s.ID, Result: "ok"}); s.DryRun {
		load.done.Result = "dry_run"
		if _, err := users.Find(ctx, s.ID); err != nil {
			return saleFault(err)
		}
	} else {
		load.load = users.Load(ctx, s.ID)
	}
	err = load.run(counted)
	load.progress.clear()
	if errors.Is(err, errNoUsers) && !load.asked {
		return usage(err)
	}
	load.awaitEdges(ctx)
	if s.json() {
		err = errors.Join(err, c.JSON(load.done))
	} else if err == nil || load.asked {
		load.print()
	}
	switch {
	case err != nil && !load.asked:
		return saleFault(err)
	case err != nil:
		return saleFault(fmt.Errorf("%w\nWhoever was registered stays so. To go on, give the same users again", err))
	case load.done.Wrong > 0:
		return fmt.Errorf("%d lines are wrong, and register nobody", load.done.Wrong)
	}
	return nil
}

// source is where the users come from, as lines. Its size is 0 if nobody knows it.
func (s *SaleRegister) source(ctx context.Context, c *Console) (io.ReadCloser, int64, error) {
	if s.File != "" {
		return c.input(ctx, s.File, "file of users")
	}
	var lines strings.Builder
	for _, user := range s.User {
		fmt.Fprintln(&lines, user)
	}
	return io.NopCloser(strings.NewReader(lines.String())), 0, nil
}

// userLoad is one run of sale register.
type userLoad struct {
	c        *Console
	file     string
	progress *progress
	load     batches // nil in a dry run
	asked    bool    // it has answered, so that registered.Registered is known
	done     registered
}

// batches registers users, several batches at a time. *registry.Load implements it.
type batches interface {
	Add(users []int64) bool
	Wait() (registry.Result, error)
}

// errNoUsers means that a file does not list users.
var errNoUsers = errors.New("want one column of user ids, under the header user_id or without one")

func (l *userLoad) run(from io.Reader) error {
	l.progress.begin()
	defer func() { l.done.Seconds = time.Since(l.progress.start).Seconds() }()
	through, err := l.read(from)
	if l.load == nil {
		return err
	}
	result, failed := l.load.Wait()
	l.asked = result.Registered > 0
	l.done.Added, l.done.Registered, l.done.Changed = result.Added, result.Registered, result.Added > 0
	if failed != nil {
		failed = fmt.Errorf("register up to line %d: %w", through, failed)
	}
	return errors.Join(failed, err)
}

// read gives the users of all lines to the load. It returns the last line that it read.
func (l *userLoad) read(from io.Reader) (line int, err error) {
	lines := bufio.NewScanner(transform.NewReader(from, unicode.BOMOverride(transform.Nop))) // from UTF-16, if its mark says so
	var batch []int64
	number := 0
	for lines.Scan() {
		number++
		line := strings.Trim(strings.TrimSpace(lines.Text()), `"`)
		switch {
		case number == 1 && strings.Trim(line, "0123456789,.+-") != "":
			if !strings.EqualFold(line, "user_id") {
				return number, fmt.Errorf("%s: line 1, header row: %.40q: %w", l.file, line, errNoUsers)
			}
			continue
		case line == "":
			continue
		}
		l.done.Lines++
		user, ok := ids.Parse(line)
		if !ok {
			if l.done.Wrong++; l.done.Wrong <= faultsShown {
				l.progress.clear()
				l.c.Notef("%s: line %d: %.40q is no user id: want digits without leading zeros", l.file, number, line)
			}
			continue
		}
		if batch = append(batch, user); len(batch) == registry.UsersMax {
			if !l.add(batch) {
				return number, nil
			}
			batch = make([]int64, 0, registry.UsersMax)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return number, fmt.Errorf("%s: line %d is too long: %w", l.file, number+1, errNoUsers)
	case err != nil:
		return number, fmt.Errorf("file of users %w", text.OfFile(err))
	case l.done.Lines == 0:
		return number, fmt.Errorf("%s has no line with a user: %w", l.file, errNoUsers)
	}
	if len(batch) > 0 {
		l.add(batch)
	}
	return number, nil
}

// add gives a batch to the load. It returns false if the load has failed.
func (l *userLoad) add(batch []int64) bool {
	goesOn := l.load == nil || l.load.Add(batch)
	l.progress.show(l.done.Lines)
	return goesOn
}

// awaitEdges waits until every edge knows all registered users. Redis may have just got users that an earlier run had
// written into MySQL before it ended.
func (l *userLoad) awaitEdges(ctx context.Context) {
	if l.asked {
		lifecycle.Pause(ctx, registry.Spread)
	}
}

func (l *userLoad) print() {
	d := &l.done
	if d.Result == "dry_run" {
		l.c.Printf("sale %d: %s users would be registered, or are already (dry run); %s lines are wrong\n", d.Sale, number(d.Lines-d.Wrong), number(d.Wrong))
		return
	}
	has := ""
	if l.asked {
		has = fmt.Sprintf("; it has %s users", number(d.Registered))
	}
	l.c.Printf("sale %d: %s users registered now, %s lines are wrong%s\n", d.Sale, number(d.Added), number(d.Wrong), has)
	l.c.rate(d.Lines, d.Seconds)
}
