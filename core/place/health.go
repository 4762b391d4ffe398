package place

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"sluice/core/db"
	"sluice/core/telemetry"
)

// pingTimeout is how long one of several writers may take to show that it answers. It leaves a probe of readiness the time to
// ask the others.
const pingTimeout = telemetry.ProbeTimeout / 2

// each asks all databases at once, and joins their errors.
func (d *Databases) each(ask func(i int) error) error {
	errs := make([]error, len(d.all))
	var asking sync.WaitGroup
	for i := range d.all {
		asking.Go(func() { errs[i] = ask(i) })
	}
	asking.Wait()
	return errors.Join(errs...)
}

// Faults are those of all writers, also if some do not tell theirs.
func (d *Databases) Faults(ctx context.Context) ([]telemetry.Fault, error) {
	found := make([][]telemetry.Fault, len(d.all))
	err := d.each(func(i int) error {
		faults, err := db.Faults(ctx, d.all[i].Writer())
		if err != nil {
			return fmt.Errorf("%s%w", d.about(i), err)
		}
		for n := range faults {
			faults[n].Found = d.about(i) + faults[n].Found
		}
		found[i] = faults
		return nil
	})
	return slices.Concat(found...), err
}

// Vet refuses writers that may forget what they committed, and those that do not answer.
func (d *Databases) Vet(ctx context.Context) error {
	return d.each(func(i int) error {
		if err := db.Vet(ctx, d.all[i].Writer()); err != nil {
			return fmt.Errorf("%s%w", d.about(i), err)
		}
		return nil
	})
}

// Ping returns an error if no writer answers. While one does, a process is of use: to take it away would end the shop for
// everybody, and not only for those whose rows are in the other databases.
func (d *Databases) Ping(ctx context.Context) error {
	answers, err := d.answering(ctx)
	if slices.Contains(answers, true) {
		return nil
	}
	return err
}

func (d *Databases) answering(ctx context.Context) (answers []bool, err error) {
	if len(d.all) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, pingTimeout)
		defer cancel()
	}
	answers = make([]bool, len(d.all))
	return answers, d.each(func(i int) error {
		err := d.all[i].Writer().PingContext(ctx)
		if answers[i] = err == nil; !answers[i] {
			return fmt.Errorf("%s%w", d.about(i), err)
		}
		return nil
	})
}

// Check returns an error if tables of an owner are older than this program in one of its places, or if two databases of the
// map are the same one. Two names of one server look like two servers, and no address tells.
func (d *Databases) Check(ctx context.Context, owners Owners) error {
	return d.check(ctx, owners, func(int) bool { return true })
}

// CheckAnswering is Check of those of several databases whose writers answer.
func (d *Databases) CheckAnswering(ctx context.Context, owners Owners) error {
	if len(d.all) == 1 {
		return d.Check(ctx, owners)
	}
	answers, _ := d.answering(ctx) // Ping and Faults tell of the others
	return d.check(ctx, owners, func(i int) bool { return answers[i] })
}

func (d *Databases) check(ctx context.Context, owners Owners, look func(i int) bool) error {
	beats := make([]db.Beat, len(d.all))
	err := d.each(func(i int) (err error) {
		if !look(i) {
			return nil
		}
		for _, owner := range owners {
			for _, p := range d.placesOf(owner, i) {
				if err := owner.At(p.Suffix).Check(ctx, p.Writer()); err != nil {
					return fmt.Errorf("%s%w", d.aboutPlace(p), err)
				}
			}
		}
		if beats[i], err = db.ReadBeat(ctx, d.all[i].Writer()); err != nil {
			return fmt.Errorf("%s%w", d.about(i), err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	named := map[[16]byte]string{}
	for i, beat := range beats {
		if !look(i) {
			continue
		}
		if other, twice := named[beat.Identity]; twice {
			return fmt.Errorf("database %s is database %s under another name, or a copy of it: correct its DSN, or give a copy an identity of its own "+
				"(UPDATE database_beats SET identity = UNHEX(REPLACE(UUID(), '-', '')))", d.name(i), other)
		}
		named[beat.Identity] = d.name(i)
	}
	return nil
}
