package db

import "fmt"

// ReadError adds the name of the table that could not be read. If the table is missing, or the account may not read
// it, the error says what to do. To an account without rights on a table a server gives the same answer whether or
// not the table exists. In that case the error names both causes.
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
