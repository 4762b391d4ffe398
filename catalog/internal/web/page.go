package web

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strconv"
)

// answerBytesMax is the length of the body of the longest answer.
const answerBytesMax = 1 << 20

// page is an answer that is not sent yet: if it cannot be made whole, the client gets a problem instead.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func pageOf(answer Answer) (*page, error) {
	p := &page{header: http.Header{}, status: http.StatusOK}
	if err := answer(p); err != nil {
		return nil, fmt.Errorf("make the answer: %w", err)
	}
	return p, nil
}

// Header implements http.ResponseWriter.
func (p *page) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) { p.status = status }

// Write implements http.ResponseWriter.
func (p *page) Write(text []byte) (int, error) {
	if p.body.Len()+len(text) > answerBytesMax {
		return 0, fmt.Errorf("it has more than %d bytes", answerBytesMax)
	}
	return p.body.Write(text)
}

// send sends the answer.
func (p *page) send(w http.ResponseWriter) error {
	maps.Copy(w.Header(), p.header)
	if p.body.Len() > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(p.body.Len()))
	}
	w.WriteHeader(p.status)
	_, err := w.Write(p.body.Bytes()) //nolint:gosec // G705: the operation says what it is, and nothing is read as HTML
	return err
}
