package product

import (
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Part is what a change is about: the content, a text, a SKU, a picture or the stage of a product.
type Part string

// The parts. Those of texts and SKUs have a locale or a number behind them.
const (
	PartContent Part = "content"
	PartStage   Part = "stage"
	PartMedia   Part = "media" // what staff decided of a picture
	partText         = "text."
	partSKU          = "sku."
)

// Changed is a part of a product, before and after a version of it. What was not there is null.
type Changed struct {
	Version int64
	Part    Part
	Before  jsontext.Value
	After   jsontext.Value
	At      time.Time
	Actor   string
	Reason  string
}

const (
	versionsKept = 1000 // of a product can be restored; its moves are kept for good
	forgetEvery  = 100
)

// restorable reports whether a product in its latest version can be made what it was as of another one.
func restorable(version, latest int64) bool {
	return version >= max(1, latest-versionsKept) && version < latest
}

// asOf is what each part was as of a version, of those that have changed since. The changes are those after it, in their order. A product
// moves by moves alone, and its pictures by decisions, so they are not among them.
func asOf(since []Changed) map[Part]jsontext.Value {
	was := map[Part]jsontext.Value{}
	for _, c := range slices.Backward(since) {
		if c.Part != PartStage && c.Part != PartMedia {
			was[c.Part] = c.Before
		}
	}
	return was
}
