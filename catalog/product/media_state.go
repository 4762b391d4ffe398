package product

import (
	"fmt"
	"slices"
	"strings"
)

// MediaState is the state of a picture.
type MediaState string

// The states.
const (
	MediaAsked    MediaState = "asked"    // its seller has an address to upload it to
	MediaSent     MediaState = "sent"     // it is uploaded, and the shop looks at it
	MediaUnfit    MediaState = "unfit"    // the file is not what it was said to be, or no picture
	MediaPending  MediaState = "pending"  // somebody has to look at it
	MediaApproved MediaState = "approved" // it is on its way to where shoppers find it
	MediaShown    MediaState = "shown"    // shoppers see it, if its product has it
	MediaRejected MediaState = "rejected" // for good, and its files are removed
)

var mediaStates = []MediaState{MediaAsked, MediaSent, MediaUnfit, MediaPending, MediaApproved, MediaShown, MediaRejected}

const (
	byShop  by = "shop"  // tasks
	byStaff by = "staff" // support and ops
)

// mediaMove is an allowed move.
type mediaMove struct {
	from, to MediaState
	by       by
}

// mediaMoves are all that there are. The page docs/products.md draws them.
var mediaMoves = []mediaMove{
	{MediaAsked, MediaSent, bySeller},
	{MediaSent, MediaUnfit, byShop},
	{MediaSent, MediaPending, byShop},
	{MediaPending, MediaApproved, byStaff},
	{MediaPending, MediaRejected, byStaff},
	{MediaApproved, MediaShown, byShop},
	{MediaApproved, MediaRejected, byStaff},
	{MediaShown, MediaRejected, byStaff},
}

func mayMedia(from, to MediaState, who by) bool {
	return slices.Contains(mediaMoves, mediaMove{from, to, who})
}

// usable reports whether a product may get a picture.
func (s MediaState) usable() bool {
	return s == MediaPending || s == MediaApproved || s == MediaShown
}

// MediaDrawing is the state machine as a diagram of Mermaid.
func MediaDrawing() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> asked\n")
	for _, m := range mediaMoves {
		_, _ = fmt.Fprintf(&b, "    %s --> %s: %s\n", m.from, m.to, m.by)
	}
	b.WriteString("    unfit --> [*]\n    rejected --> [*]\n")
	return b.String()
}
