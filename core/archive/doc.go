// Package archive moves old rows of the ledger and of reservations out of MySQL into files, and leaves a checkpoint per
// cell: what the events that left came to. It deletes nothing that it has not read back from the disk. docs/archive.md
// describes the files. It decides nothing about stock, and sluice sells without it.
package archive
