package command

import (
	_ "embed"

	"sluice/core/config"
)

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (DevFile) Texts() config.Texts { return texts }

// Texts are those of the group.
func (Migrate) Texts() config.Texts { return texts }

// Texts are those of the group.
func (CatalogMigrate) Texts() config.Texts { return texts }

// Texts are those of the group.
func (SigningKeys) Texts() config.Texts { return texts }

// Texts are those of the group.
func (CatalogKeysCreate) Texts() config.Texts { return texts }

// Texts are those of the group.
func (Seed) Texts() config.Texts { return texts }

// Texts are those of the group.
func (Drain) Texts() config.Texts { return texts }

// Texts are those of the group.
func (TokenKey) Texts() config.Texts { return texts }

// Texts are those of the group.
func (Token) Texts() config.Texts { return texts }

// Texts are those of the group.
func (Repairs) Texts() config.Texts { return texts }
