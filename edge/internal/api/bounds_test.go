package api

import (
	"testing"

	"sluice/edge/internal/conns"
)

// An answer that comes before the end of the body reaches its client only if the connection takes in the rest.
func TestConnectionsTakeInTheLargestBody(t *testing.T) {
	t.Parallel()
	if most := max(bodyBytesMax, adminBodyBytesMax); conns.LingerBytes <= most {
		t.Errorf("a connection takes in %d bytes after its answer, and a body may have %d", conns.LingerBytes, most)
	}
}
