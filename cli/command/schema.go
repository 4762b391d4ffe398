package command

import (
	"sluice/core/schema"
	"sluice/persister"
)

// Schemas are all who own tables in the database of a deployment.
func Schemas() schema.Owners { return schema.Owners{persister.Schema()} }
