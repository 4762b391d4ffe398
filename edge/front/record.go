package front

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// recordVersion is in the keys of records. Another form of records has another one.
const recordVersion = 1

// record is an answer outside of memory: in the cache's Redis, or in the local store.
type record struct {
	Target  string    `json:"target"`
	Route   string    `json:"route"`
	Body    []byte    `json:"body"`
	ETag    string    `json:"etag"`
	Version uint64    `json:"version"`
	Tags    [2]string `json:"tags"`
	Begun   int64     `json:"begun"`
	Until   int64     `json:"until"`
}

func (a *Answer) record() []byte {
	data, err := json.Marshal(record{a.target, a.route.Name, a.Body, string(a.ETag), a.version, a.tags, a.begun, a.until})
	if err != nil {
		panic(fmt.Sprintf("encode an answer: %v", err)) // nothing in it can fail
	}
	return data
}

// unrecord reads an answer to a target. Anything else is none: whoever may write there must not choose what is shown where.
func unrecord(target string, data []byte) (*Answer, bool) {
	var r record
	if json.Unmarshal(data, &r) != nil || r.Target != target || len(r.Body) == 0 || r.ETag == "" || r.Tags[0] == "" {
		return nil, false
	}
	for _, route := range routes {
		if route.Name == r.Route && route.versioned == (r.Version != 0) {
			return &Answer{
				target: r.Target, route: route, Body: r.Body, ETag: []byte(r.ETag), Matches: route.versioned || r.ETag[1] == 'h',
				version: r.Version, tags: r.Tags, begun: r.Begun, until: r.Until,
			}, len(r.ETag) > 2
		}
	}
	return nil, false
}
