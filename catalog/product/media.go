package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/picture"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

const (
	mediaMax     = 50 // of a product, with those that nobody sees
	mediaUsedMax = 20 // that shoppers see

	uploadLife = 15 * time.Minute // of the address of an upload
	linkLife   = 15 * time.Minute // of an address by which a seller or staff sees what shoppers do not
	askedLife  = time.Hour        // of what is never uploaded
	unusedLife = 7 * 24 * time.Hour

	mediaColumns = "media_id, product_id, state, type, bytes, sha256, fault, reason, width, height, small_width, small_height, made_at, moved_at"

	selectMedia = "SELECT " + mediaColumns + " FROM product_media__ WHERE product_id = ? ORDER BY media_id"
	lockMedia   = "SELECT " + mediaColumns + " FROM product_media__ WHERE product_id = ? AND media_id = ? FOR UPDATE"
	selectOne   = "SELECT " + mediaColumns + " FROM product_media__ WHERE media_id = ?"
	// Those of a product whose row is locked.
	lockUsable   = "SELECT media_id, state FROM product_media__ WHERE product_id = ? FOR UPDATE"
	countMedia   = "SELECT COUNT(*) FROM product_media__ WHERE product_id = ?"
	insertMedia  = "INSERT INTO product_media__ (media_id, product_id, state, type, bytes, sha256, made_at, moved_at, ends_at) VALUES (?, ?, ?, ?, ?, ?, NOW(3), NOW(3), NOW(3) + INTERVAL ? SECOND)"
	moveMedia    = "UPDATE product_media__ SET state = ?, reason = ?, moved_at = NOW(3), ends_at = IF(ends_at IS NULL, NULL, NOW(3) + INTERVAL ? SECOND) WHERE media_id = ? AND state = ?"
	useMedia     = "UPDATE product_media__ SET ends_at = NULL WHERE product_id = ? AND media_id IN "
	unuseMedia   = "UPDATE product_media__ SET ends_at = NOW(3) + INTERVAL ? SECOND WHERE product_id = ? AND ends_at IS NULL"
	selectUnseen = "SELECT " + mediaColumns + " FROM product_media__ WHERE state = 'pending' AND (moved_at > ? OR moved_at = ? AND media_id > ?) ORDER BY moved_at, media_id LIMIT ?"
)

// Media is a picture of a product.
type Media struct {
	ID      ids.Media   `json:"media_id"`
	Product ids.Product `json:"product_id"`
	State   MediaState  `json:"state"`
	Type    string      `json:"type"` // of the file that is uploaded
	Bytes   int64       `json:"bytes"`
	SHA256  []byte      `json:"sha256"`
	Fault   string      `json:"fault,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	Large   MediaSize   `json:"large,omitzero"`
	Small   MediaSize   `json:"small,omitzero"`
	MadeAt  time.Time   `json:"made_at"`
	MovedAt time.Time   `json:"moved_at"`
}

// MediaSize is how large a rendition is, in pixels.
type MediaSize struct {
	Width  int `json:"width"`
	Height int `json:"height"`
}

var (
	unknownMedia = problem.NewKind(problem.Kind{Code: "unknown_media", Status: http.StatusNotFound, Title: "The product has no such picture."})
	noMedia      = problem.NewKind(problem.Kind{Code: "no_media", Status: http.StatusConflict, Title: "The shop has no pictures: it has no store for them."})

	errUnknownMedia = &problem.Problem{Kind: unknownMedia}
	errNoMedia      = &problem.Problem{Kind: noMedia}
)

// The keys of the files of a picture in the store. Everybody may read what is below shown.
func uploadKey(id ids.Media) string     { return "uploads/" + id.String() }
func checkedKeys(id ids.Media) []string { return renditionKeys("checked/", id) }
func shownKeys(id ids.Media) []string   { return renditionKeys("shown/", id) }

func renditionKeys(below string, id ids.Media) []string {
	return []string{below + id.String() + "/large.jpg", below + id.String() + "/small.jpg"}
}

// AskUpload gives the seller an address to which one file may be uploaded, for a while. A repetition behind that has the picture alone.
func (p *Products) AskUpload(ctx context.Context, by Caller, of ids.Seller, id ids.Product, form objects.Form) (Media, objects.Upload, error) {
	switch {
	case p.media == nil:
		return Media{}, objects.Upload{}, errNoMedia
	case !picture.Reads(form.Type):
		return Media{}, objects.Upload{}, malformed("/type", "want image/jpeg, image/png or image/webp")
	case form.Bytes < 1 || form.Bytes > picture.BytesMax:
		return Media{}, objects.Upload{}, malformed("/bytes", "want 1 to %d", picture.BytesMax)
	}
	if err := p.sells(ctx, by, of); err != nil {
		return Media{}, objects.Upload{}, err
	}
	asked := struct {
		Seller  ids.Seller
		Product ids.Product
		objects.Form
	}{of, id, form}
	m, err := once(ctx, p, shard.OfProduct(id), by, "ask_upload", asked, func(c *change) (Media, error) {
		l, err := c.product(ctx, of, id)
		switch {
		case err != nil:
			return Media{}, err
		case changesIn(l.Stage) == ChangesNone:
			return Media{}, wrongStage(l.Stage)
		}
		var has int
		if err := c.in.QueryRowContext(ctx, countMedia, id).Scan(&has); err != nil {
			return Media{}, readError(c.at, "product_media", err)
		}
		if has >= mediaMax {
			return Media{}, errTooMany("a product has at most %d pictures; those that it does not use go after %d days", mediaMax, unusedLife/(24*time.Hour))
		}
		media, err := c.drawMedia(ctx, id, form)
		if err != nil {
			return Media{}, err
		}
		return c.mediaOf(ctx, id, media)
	})
	if err != nil {
		return Media{}, objects.Upload{}, err
	}
	// Files of uploads are removed once no address leads there, so a repetition has no later end.
	left := min(uploadLife, m.MadeAt.Add(uploadLife).Sub(p.now())).Truncate(time.Second)
	if left <= 0 {
		return m, objects.Upload{}, nil
	}
	upload, err := p.media.Upload(ctx, uploadKey(m.ID), form, left)
	return m, upload, err
}

func (c *change) drawMedia(ctx context.Context, of ids.Product, form objects.Form) (ids.Media, error) {
	for range drawsMax {
		id := ids.Random[ids.Media]()
		_, err := c.in.ExecContext(ctx, insertMedia, id, of, MediaAsked, form.Type, form.Bytes, form.SHA256[:], int64(askedLife/time.Second))
		switch {
		case err == nil:
			return id, nil
		case db.Answer(err) != db.AnswerDuplicate:
			return 0, db.WriteError("write media", err)
		}
	}
	return 0, db.WriteError("write media", errors.New("all drawn ids are taken"))
}

// mediaOf locks a picture of a product. Whoever locks both locks the product first.
func (c *change) mediaOf(ctx context.Context, of ids.Product, id ids.Media) (Media, error) {
	m, err := scanMedia(c.in.QueryRowContext(ctx, lockMedia, of, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Media{}, errUnknownMedia
	case err != nil:
		return Media{}, db.WriteError("lock media", err)
	}
	return m, nil
}

// Uploaded says that a file is uploaded. The shop looks at it in a task. What was said before is a success.
func (p *Products) Uploaded(ctx context.Context, by Caller, of ids.Seller, id ids.Product, media ids.Media) (Media, error) {
	if p.media == nil {
		return Media{}, errNoMedia
	}
	if err := p.sells(ctx, by, of); err != nil {
		return Media{}, err
	}
	switch has, _, err := p.outline(ctx, id); {
	case err != nil:
		return Media{}, err
	case has != of:
		return Media{}, errUnknownProduct
	}
	asked := struct {
		Seller  ids.Seller
		Product ids.Product
		Media   ids.Media
	}{of, id, media}
	return once(ctx, p, shard.OfProduct(id), by, "check_media", asked, func(c *change) (Media, error) {
		m, err := c.mediaOf(ctx, id, media)
		if err != nil || m.State != MediaAsked {
			return m, err
		}
		if err := c.moveMedia(ctx, &m, MediaSent, bySeller, "", unusedLife); err != nil {
			return Media{}, err
		}
		return m, task.Of(owner, c.at.Suffix).Add(ctx, c.tx, taskCheckMedia, media.String(), mediaTask{Media: media}, 0)
	})
}

// moveMedia moves a picture that is locked.
func (c *change) moveMedia(ctx context.Context, m *Media, to MediaState, who by, reason string, life time.Duration) error {
	if !mayMedia(m.State, to, who) {
		return &problem.Problem{Kind: problem.WrongState, Detail: "the picture is " + string(m.State)}
	}
	if err := c.put(ctx, "move media", moveMedia, to, reason, int64(life/time.Second), m.ID, m.State); err != nil {
		return err
	}
	m.State, m.Reason = to, reason
	return nil
}

// DecideMedia lets shoppers see a picture, or rejects it: then its files are removed, for good. Of one that shoppers have seen, too.
func (p *Products) DecideMedia(ctx context.Context, by Caller, id ids.Product, media ids.Media, d Decision) (Media, error) {
	if err := audit.CheckReason(d.Reason); err != nil {
		return Media{}, err
	}
	of, _, err := p.judged(ctx, by, id)
	if err != nil {
		return Media{}, err
	}
	asked := struct {
		Product ids.Product
		Media   ids.Media
		Decision
	}{id, media, d}
	return once(ctx, p, shard.OfProduct(id), by, "decide_media", asked, func(c *change) (Media, error) {
		l, err := c.product(ctx, of, id)
		if err != nil {
			return Media{}, err
		}
		m, err := c.mediaOf(ctx, id, media)
		if err != nil {
			return Media{}, err
		}
		before, to, act := m.State, MediaRejected, "media.reject"
		if d.Approve {
			to, act = MediaApproved, "media.approve"
		}
		if before == to || d.Approve && before == MediaShown {
			return m, nil
		}
		reason := d.Reason
		if d.Approve {
			reason = ""
		}
		if err := c.moveMedia(ctx, &m, to, byStaff, reason, unusedLife); err != nil {
			return Media{}, err
		}
		c.act = &audit.Act{
			Author: by.Author, Act: act, Object: "media:" + media.String(), Why: d.Reason, Changes: []audit.Change{{Name: "state", Before: before, After: to}},
		}
		tasks := task.Of(owner, c.at.Suffix)
		if d.Approve {
			return m, tasks.Add(ctx, c.tx, taskShowMedia, media.String(), mediaTask{Media: media, Actor: by.Actor}, 0)
		}
		if before == MediaShown {
			if err := c.showed(ctx, &l.Product, media, before, to); err != nil {
				return Media{}, err
			}
		}
		return m, dropMedia(ctx, tasks, c.tx, media, "rejected", slices.Concat(checkedKeys(media), shownKeys(media)), 0)
	})
}

// showed counts a version of a product of whose pictures shoppers see another one, or one less.
func (c *change) showed(ctx context.Context, of *Product, media ids.Media, before, after MediaState) error {
	type state struct {
		Media ids.Media  `json:"media_id"`
		State MediaState `json:"state"`
	}
	was, err1 := store(state{media, before})
	is, err2 := store(state{media, after})
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := c.put(ctx, "count a product", countProduct, of.ID, of.Version); err != nil {
		return err
	}
	of.Version++
	if err := c.note(ctx, of, Changed{Part: PartMedia, Before: was, After: is}); err != nil {
		return err
	}
	_, err := c.changedProduct(ctx, *of)
	return err
}

// unseen are the pictures that somebody has to look at.
var unseen = queue.List[Media]{
	Name: "media", Table: "product_media", Statement: selectUnseen,
	Scan: func(row *sql.Rows, m *Media) (err error) { *m, err = scanMedia(row); return err },
	At:   func(m *Media) queue.Cursor { return queue.Cursor{At: m.MovedAt, ID: int64(m.ID)} },
}

// UnseenMedia lists the pictures that somebody has to look at, those first that have waited longest. Next is zero after the last page.
func (p *Products) UnseenMedia(ctx context.Context, after queue.Cursor, limit int) (page []Media, next queue.Cursor, err error) {
	return unseen.Page(ctx, p.databases.All(shard.Products), after, limit)
}

// setMedia has a product use pictures: only its own, and none that is not fit or rejected, unless it has it already.
func (l *locked) setMedia(ctx context.Context, to []ids.Media) error {
	if slices.Equal(to, l.Media) {
		return nil
	}
	states := map[ids.Media]MediaState{}
	err := db.Rows(ctx, l.c.in, func(row *sql.Rows) error {
		var id ids.Media
		var state MediaState
		err := row.Scan(&id, &state)
		states[id] = state
		return err
	}, lockUsable, l.ID)
	if err != nil {
		return readError(l.c.at, "product_media", err)
	}
	for i, id := range to {
		at := fmt.Sprintf("/media_ids/%d", i)
		switch state, ok := states[id]; {
		case !ok:
			return &problem.Problem{Kind: unknownMedia, Pointer: at}
		case !state.usable() && !slices.Contains(l.Media, id):
			return &problem.Problem{Kind: problem.WrongState, Pointer: at, Detail: "the picture is " + string(state)}
		}
	}
	if err := l.c.put(ctx, "unuse media", unuseMedia, int64(unusedLife/time.Second), l.ID); err != nil || len(to) == 0 {
		return err
	}
	values := []any{l.ID}
	for _, id := range to {
		values = append(values, id)
	}
	return l.c.put(ctx, "use media", useMedia+rowsOf(1, len(to)), values...)
}

// keepMedia leaves out of content that is restored what was removed since.
func (l *locked) keepMedia(ctx context.Context, of *Content) error {
	all, err := readMedia(ctx, l.c.at, l.c.in, l.ID)
	if err != nil {
		return err
	}
	of.Media = slices.DeleteFunc(of.Media, func(id ids.Media) bool {
		return !slices.ContainsFunc(all, func(m Media) bool { return m.ID == id && m.State.usable() }) && !slices.Contains(l.Media, id)
	})
	if len(of.Media) == 0 {
		of.Media = nil
	}
	return nil
}

// readMedia reads the pictures of a product.
func readMedia(ctx context.Context, at place.Place, in place.Conn, of ids.Product) (all []Media, err error) {
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		m, err := scanMedia(row)
		all = append(all, m)
		return err
	}, selectMedia, of)
	if err != nil {
		return nil, readError(at, "product_media", err)
	}
	return all, nil
}

func scanMedia(row interface{ Scan(...any) error }) (m Media, err error) {
	err = row.Scan(&m.ID, &m.Product, &m.State, &m.Type, &m.Bytes, &m.SHA256, &m.Fault, &m.Reason,
		&m.Large.Width, &m.Large.Height, &m.Small.Width, &m.Small.Height, &m.MadeAt, &m.MovedAt)
	return m, err
}
