package db

import "fmt"

// ReadError names the table that could not be read. If the table is missing, or the account may not read it, the error says
// what to do.
// A server answers the same for a table that is not there to an account that would have no right on it, so both are
// named then.
func ReadError(what, table string, err error) error {
	switch Answer(err) {
	case AnswerNoTable:
		return fmt.Errorf("read %s: there is no table %s: run sluice migrate: %w", what, table, err)
	case AnswerTableDenied, AnswerColumnDenied:
		return fmt.Errorf("read %s: the account may not read table %s: run sluice migrate if this version has not migrated yet, "+
			"then give the accounts again what sluice grants prints: %w", what, table, err)
	}
	return fmt.Errorf("read %s: %w", what, err)
}
