package catalog

import (
	_ "embed"

	"sluice/core/config"
)

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (Config) Texts() config.Texts { return texts }

// Texts are those of the group.
func (VaultConfig) Texts() config.Texts { return texts }
