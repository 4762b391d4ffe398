package command

import (
	"sluice/core/schema"
	"sluice/persister"
)

// Schemas are all owners of tables in the database of a deployment.
func Schemas() schema.Owners { return schema.Owners{persister.Schema()} }
