package product

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"slices"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/picture"
	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/stock"
)

const (
	taskCheckMedia = "check_media"
	taskShowMedia  = "show_media"
	taskDropMedia  = "drop_media"
	timeSweepMedia = "sweep_media"

	sweepRowsMax    = 100 // in one transaction
	sweepBatchesMax = 50  // in one task: what is left waits for the next one

	checkMedia = "UPDATE product_media__ SET state = ?, fault = ?, width = ?, height = ?, small_width = ?, small_height = ?, moved_at = NOW(3) WHERE media_id = ? AND state = 'sent'"
	showMedia  = "UPDATE product_media__ SET state = 'shown', moved_at = NOW(3) WHERE media_id = ? AND state = 'approved'"
	pickEnded  = "SELECT media_id FROM product_media__ WHERE ends_at <= NOW(3) ORDER BY ends_at LIMIT ? FOR UPDATE SKIP LOCKED"
	dropEnded  = "DELETE FROM product_media__ WHERE media_id IN "
)

// The faults of uploads, beside those of pictures.
const (
	faultMissing  picture.Fault = "missing"  // nothing was uploaded
	faultSize     picture.Fault = "size"     // it has another length
	faultChecksum picture.Fault = "checksum" // it has other bytes
)

// mediaTask is what tasks know of a picture.
type mediaTask struct {
	Media ids.Media `json:"media_id"`
	Actor string    `json:"actor,omitempty"` // who has approved it
}

// dropTask names files that are removed from the store.
type dropTask struct {
	Keys []string `json:"keys"`
}

// decodingMax is how many pictures a process decodes at once: each may take 100 MB, and a core.
const decodingMax = 1

// dropMedia has files of a picture removed. What for tells its tasks apart.
func dropMedia(ctx context.Context, tasks task.Tasks, tx *sql.Tx, id ids.Media, what string, keys []string, after time.Duration) error {
	return tasks.Add(ctx, tx, taskDropMedia, id.String()+"."+what, dropTask{keys}, after)
}

// checkMedia looks at a file that is uploaded, and makes of it what shoppers get. Whoever has the address of the upload may write there until
// it ends, so nobody else ever gets what is there, and it is removed after that.
func (p *Products) checkMedia(ctx context.Context, t task.Task) error {
	var of mediaTask
	if err := t.Into(&of); err != nil {
		return err
	}
	if p.media == nil {
		return errNoMedia
	}
	m, err := scanMedia(t.Place.In(t.Place.Writer()).QueryRowContext(ctx, selectOne, of.Media))
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && m.State != MediaSent:
		return nil
	case err != nil:
		return readError(t.Place, "product_media", err)
	}
	to := MediaPending
	r, fault, err := p.render(ctx, &m)
	switch {
	case err != nil:
		return err
	case fault != "":
		to = MediaUnfit
	default:
		if err := p.putBoth(ctx, checkedKeys(m.ID), r.Large.Body, r.Small.Body); err != nil {
			return err
		}
	}
	tasks := task.Of(owner, t.Place.Suffix)
	_, err = t.Place.Write(ctx, "media", func(tx *sql.Tx) error {
		done, err := t.Place.In(tx).ExecContext(ctx, checkMedia, to, string(fault), r.Large.Width, r.Large.Height, r.Small.Width, r.Small.Height, m.ID)
		if err != nil {
			return db.WriteError("move media", err)
		}
		keys := []string{uploadKey(m.ID)}
		if n, err := done.RowsAffected(); err != nil || n == 0 { // it was removed meanwhile
			keys = append(keys, checkedKeys(m.ID)...)
		}
		if err := dropMedia(ctx, tasks, tx, m.ID, "upload", keys, askedLife); err != nil {
			return err
		}
		return t.Finish(ctx, tx)
	})
	return err
}

// render reads a file and makes the renditions of it, or says what is wrong with the file. An error is the store's.
func (p *Products) render(ctx context.Context, m *Media) (r picture.Renditions, fault picture.Fault, err error) {
	file, err := p.media.Get(ctx, uploadKey(m.ID), m.Bytes)
	switch {
	case errors.Is(err, objects.ErrNone):
		return r, faultMissing, nil
	case errors.Is(err, objects.ErrLong), err == nil && int64(len(file)) != m.Bytes:
		return r, faultSize, nil
	case err != nil:
		return r, "", err
	}
	if sum := sha256.Sum256(file); !slices.Equal(sum[:], m.SHA256) {
		return r, faultChecksum, nil
	}
	select {
	case p.decoding <- struct{}{}:
		defer func() { <-p.decoding }()
	case <-ctx.Done():
		return r, "", ctx.Err()
	}
	r, fault = picture.Render(m.Type, file)
	return r, fault, nil
}

func (p *Products) putBoth(ctx context.Context, keys []string, bodies ...[]byte) error {
	for i, key := range keys {
		if err := p.media.Put(ctx, key, picture.Type, bodies[i]); err != nil {
			return err
		}
	}
	return nil
}

// showMedia puts the files of an approved picture where shoppers find them, and then has its product show it.
func (p *Products) showMedia(ctx context.Context, t task.Task) error {
	var of mediaTask
	if err := t.Into(&of); err != nil {
		return err
	}
	if p.media == nil {
		return errNoMedia
	}
	m, err := scanMedia(t.Place.In(t.Place.Writer()).QueryRowContext(ctx, selectOne, of.Media))
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && m.State != MediaApproved:
		return p.dropShown(ctx, of.Media, m.State) // an attempt before this one may have put them there
	case err != nil:
		return readError(t.Place, "product_media", err)
	}
	var bodies [][]byte
	for _, key := range checkedKeys(m.ID) {
		body, err := p.media.Get(ctx, key, picture.BytesMax)
		if errors.Is(err, objects.ErrNone) {
			return p.dropShown(ctx, m.ID, "") // it is rejected in this moment
		}
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
	}
	if err := p.putBoth(ctx, shownKeys(m.ID), bodies...); err != nil {
		return err
	}
	at := t.Place
	_, err = at.Write(ctx, "media", func(tx *sql.Tx) error {
		c := &change{p: p, at: at, tx: tx, in: at.In(tx), by: Caller{Author: audit.Author{Actor: of.Actor}}}
		var seller ids.Seller
		var brand sql.Null[ids.Brand]
		if err := c.in.QueryRowContext(ctx, selectOutline, m.Product).Scan(&seller, &brand); err != nil {
			return readError(at, "products", err)
		}
		l, err := c.product(ctx, seller, m.Product)
		if err != nil {
			return err
		}
		done, err := c.in.ExecContext(ctx, showMedia, m.ID)
		if err != nil {
			return db.WriteError("show media", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(stock.ErrNotApplied, err) // the next attempt sees what it is by now
		}
		if err := c.showed(ctx, &l.Product, m.ID, MediaApproved, MediaShown); err != nil {
			return err
		}
		return t.Finish(ctx, tx)
	})
	return err
}

// dropShown removes what a picture that is not to be shown may have where shoppers find it.
func (p *Products) dropShown(ctx context.Context, id ids.Media, state MediaState) error {
	if state == MediaShown {
		return nil
	}
	return p.drop(ctx, shownKeys(id))
}

// dropMedia removes files.
func (p *Products) dropMedia(ctx context.Context, t task.Task) error {
	var of dropTask
	if err := t.Into(&of); err != nil {
		return err
	}
	if p.media == nil {
		return errNoMedia
	}
	return p.drop(ctx, of.Keys)
}

func (p *Products) drop(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := p.media.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// sweepMedia removes what was never uploaded, what is unfit, and what no product has used for a while.
func (p *Products) sweepMedia(ctx context.Context, t task.Task) error {
	if p.media == nil {
		return nil // the files of what is there stay, so that its rows do
	}
	for range sweepBatchesMax {
		swept := 0
		_, err := t.Place.Write(ctx, "media", func(tx *sql.Tx) (err error) {
			swept, err = sweepBatch(ctx, t, tx)
			return err
		})
		if err != nil || swept < sweepRowsMax {
			return err
		}
	}
	return nil
}

func sweepBatch(ctx context.Context, t task.Task, tx *sql.Tx) (swept int, err error) {
	in := t.Place.In(tx)
	var gone []any
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var id ids.Media
		err := row.Scan(&id)
		gone = append(gone, id)
		return err
	}, pickEnded, sweepRowsMax)
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	tasks := task.Of(owner, t.Place.Suffix)
	for _, id := range gone {
		media, _ := id.(ids.Media)
		keys := slices.Concat([]string{uploadKey(media)}, checkedKeys(media), shownKeys(media))
		if err := dropMedia(ctx, tasks, tx, media, "swept", keys, 0); err != nil {
			return 0, err
		}
	}
	if _, err := in.ExecContext(ctx, dropEnded+rowsOf(1, len(gone)), gone...); err != nil {
		return 0, db.WriteError("sweep media", err)
	}
	return len(gone), nil
}
