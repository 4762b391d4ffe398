package config

import (
	_ "embed"
)

//go:embed settings.txt
var settings string

var texts = ParseTexts(settings)

// Texts are those of the group.
func (Ops) Texts() Texts { return texts }

// Texts are those of the group.
func (Log) Texts() Texts { return texts }

// Texts are those of the group.
func (Agreed) Texts() Texts { return texts }

// Texts are those of the group.
func (Stock) Texts() Texts { return texts }
