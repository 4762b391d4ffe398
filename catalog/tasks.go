package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/task"
	"sluice/core/place"
	"sluice/core/shard"
)

// TaskID names a task of the shop. Each package has tasks of its own in each place.
type TaskID struct {
	Owner, Place string
	Number       int64
}

// ErrTaskID says what the id of a task looks like.
var ErrTaskID = errors.New("want the id of a task, such as account/shop/17: sluice catalog tasks list shows them")

// ParseTaskID reads what String writes.
func ParseTaskID(text string) (id TaskID, err error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		return TaskID{}, ErrTaskID
	}
	id = TaskID{Owner: parts[0], Place: parts[1]}
	if id.Number, err = strconv.ParseInt(parts[2], 10, 64); err != nil || id.Number < 0 || id.String() != text {
		return TaskID{}, ErrTaskID
	}
	return id, nil
}

// String is the id for people and programs.
func (id TaskID) String() string { return fmt.Sprintf("%s/%s/%d", id.Owner, id.Place, id.Number) }

// MarshalText implements encoding.TextMarshaler.
func (id TaskID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// DeadTask is a task that has failed too often.
type DeadTask struct {
	TaskID TaskID `json:"id"`
	task.Dead
}

// ErrNoTask says that there is no such dead task.
var ErrNoTask = errors.New("there is no dead task with this id")

// books are the tasks of a package in a place.
type books struct {
	owner string
	kind  shard.Kind // of the package's rows
	place.Place
}

// shard is the first one of the place, which has the audit entries about its tasks.
func (b books) shard(databases *place.Databases) shard.Shard {
	of := shard.Shard{Kind: b.kind}
	for of.Number < shard.Count-1 && databases.At(of).Name != b.Name {
		of.Number++
	}
	return of
}

func (b books) tasks() task.Tasks { return task.Of(b.owner, b.Suffix) }

func allBooks(databases *place.Databases) (all []books) {
	for _, o := range owners(nil, nil, nil, nil, nil, nil, nil, nil) {
		for _, p := range databases.All(o.Kind) {
			all = append(all, books{o.Name, o.Kind, p})
		}
	}
	return all
}

// booksOf finds those that have a task.
func booksOf(databases *place.Databases, id TaskID) (books, error) {
	all := allBooks(databases)
	i := slices.IndexFunc(all, func(b books) bool { return b.owner == id.Owner && b.Name == id.Place })
	if i < 0 {
		return books{}, ErrNoTask
	}
	return all[i], nil
}

// DeadTasks lists the dead tasks of all packages in all places, after one of them.
func DeadTasks(ctx context.Context, databases *place.Databases, after TaskID, limit int) ([]DeadTask, error) {
	all, dead := allBooks(databases), []DeadTask{}
	if after != (TaskID{}) {
		i := slices.IndexFunc(all, func(b books) bool { return b.owner == after.Owner && b.Name == after.Place })
		if i < 0 {
			return nil, ErrTaskID
		}
		all = all[i:]
	}
	for i, b := range all {
		first := int64(0)
		if i == 0 {
			first = after.Number
		}
		page, err := b.tasks().Dead(ctx, b.Writer(), first, limit-len(dead))
		if err != nil {
			return nil, fmt.Errorf("place %s: %w", b.Name, err)
		}
		for _, d := range page {
			dead = append(dead, DeadTask{TaskID{b.owner, b.Name, d.ID}, d})
		}
		if len(dead) == limit {
			break
		}
	}
	return dead, nil
}

// FindDeadTask finds a dead task, or ErrNoTask.
func FindDeadTask(ctx context.Context, databases *place.Databases, id TaskID) (DeadTask, error) {
	b, err := booksOf(databases, id)
	if err != nil {
		return DeadTask{}, err
	}
	page, err := b.tasks().Dead(ctx, b.Writer(), id.Number-1, 1)
	if err == nil && (len(page) == 0 || page[0].ID != id.Number) {
		err = ErrNoTask
	}
	if err != nil {
		return DeadTask{}, err
	}
	return DeadTask{id, page[0]}, nil
}

// TaskDecision is who decides about a dead task, and why.
type TaskDecision struct {
	By  string // a name of visible ASCII characters
	Why string
}

// RepeatTask makes a dead task wait again, with all its attempts, and writes that down in the audit log.
func RepeatTask(ctx context.Context, databases *place.Databases, id TaskID, d TaskDecision) error {
	return decide(ctx, databases, id, d, "task.repeat", task.Tasks.Repeat)
}

// DropTask deletes a dead task that nobody needs any more, and writes that down in the audit log.
func DropTask(ctx context.Context, databases *place.Databases, id TaskID, d TaskDecision) error {
	return decide(ctx, databases, id, d, "task.drop", task.Tasks.Drop)
}

func decide(ctx context.Context, databases *place.Databases, id TaskID, d TaskDecision, act string,
	do func(task.Tasks, context.Context, *sql.Tx, int64) (bool, error),
) error {
	b, err := booksOf(databases, id)
	if err != nil {
		return err
	}
	dead, err := FindDeadTask(ctx, databases, id)
	if err != nil {
		return err
	}
	_, err = b.Write(ctx, act, func(tx *sql.Tx) error {
		done, err := do(b.tasks(), ctx, tx, id.Number)
		if err == nil && !done {
			err = ErrNoTask
		}
		if err != nil {
			return err
		}
		return audit.Log{}.Append(ctx, b.In(tx), b.shard(databases), audit.Act{
			Author: audit.Author{Actor: "operator:" + d.By}, Act: act, Object: "task:" + id.String(), Why: d.Why,
			Changes: []audit.Change{
				{Name: "kind", Before: dead.Kind},
				{Name: "name", Before: dead.Name},
				{Name: "attempts", Before: dead.Attempts},
				{Name: "last_error", Before: dead.Error},
			},
		})
	})
	return err
}
