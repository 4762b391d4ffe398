package vault

import (
	_ "embed"
	"strings"

	"sluice/core/schema"
)

//go:embed tables.sql
var tables string

// Tables returns the statements that make the tables of an owner. A migration of the owner has them.
func Tables(owner string) string { return strings.ReplaceAll(tables, "OWNER", owner) }

// Grants are what the shop's account may do with the tables of an owner.
func Grants(owner string) []schema.Grant {
	return []schema.Grant{
		{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, UPDATE", Table: owner + "_keys" + schema.Suffix},
		{Role: schema.RoleCatalog, Privileges: "SELECT, INSERT, DELETE", Table: owner + "_key_proofs" + schema.Suffix},
	}
}

// statements are those of an owner. place.In gives them the suffix of a place.
type statements struct {
	read, insert, erase string
	prove, proofs, drop string
	count, list, rewrap string
}

func statementsOf(owner string) statements {
	keys, proofs := owner+"_keys"+schema.Suffix, owner+"_key_proofs"+schema.Suffix
	return statements{
		read:   "SELECT key_id, wrapped FROM " + keys + " WHERE subject_id = ?",
		insert: "INSERT INTO " + keys + " (subject_id, key_id, wrapped) VALUES (?, ?, ?)",
		// A subject that had no key never gets one.
		erase: "INSERT INTO " + keys + " (subject_id, erased_at) VALUES (?, NOW(3)) " +
			"ON DUPLICATE KEY UPDATE key_id = NULL, wrapped = NULL, erased_at = COALESCE(erased_at, NOW(3))",
		prove:  "INSERT INTO " + proofs + " (key_id, proof) VALUES (?, ?)",
		proofs: "SELECT key_id, proof FROM " + proofs,
		drop:   "DELETE FROM " + proofs + " WHERE key_id = ?",
		count:  "SELECT key_id, COUNT(*) FROM " + keys + " WHERE key_id IS NOT NULL GROUP BY key_id",
		list:   "SELECT subject_id, wrapped FROM " + keys + " WHERE key_id = ? AND subject_id > ? ORDER BY subject_id LIMIT ?",
		rewrap: "UPDATE " + keys + " SET key_id = ?, wrapped = ? WHERE subject_id = ? AND key_id = ?",
	}
}
