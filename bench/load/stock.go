package load

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"
)

// StockLeft returns what reads the free units of a SKU from the target, as shoppers see them. A sale of "" is normal
// stock.
func (t *Target) StockLeft(sku int64, sale, token string) func(context.Context) (int64, error) {
	path := "/v1/stock/" + strconv.FormatInt(sku, 10)
	if sale != "" {
		path += "?sale_id=" + sale
	}
	return func(ctx context.Context) (int64, error) {
		timeout := 5 * time.Second
		if end, bounded := ctx.Deadline(); bounded {
			timeout = time.Until(end)
		}
		c, err := t.dial(max(timeout, time.Millisecond))
		if err != nil {
			return 0, err
		}
		defer func() { _ = c.Close() }()
		r, err := c.Do(appendGet(nil, path, t.host, token))
		if err != nil {
			return 0, err
		}
		_, after, _ := bytes.Cut(r.Body, []byte(`"avail":`))
		n := 0
		for n < len(after) && after[n] >= '0' && after[n] <= '9' {
			n++
		}
		left, err := strconv.ParseInt(string(after[:n]), 10, 64)
		if r.Status != 200 || err != nil {
			return 0, fmt.Errorf("GET %s: status %d: %.200s", path, r.Status, r.Body)
		}
		return left, nil
	}
}
