// Package archive moves old rows of the ledger and of reservations out of MySQL into files. For each cell it leaves a
// checkpoint, which says what the events that left add up to. It deletes only what it has read back from the disk.
// docs/archive.md describes the files. The package decides nothing about stock, and sluice sells without it.
package archive
