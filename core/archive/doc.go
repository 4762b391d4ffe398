// Package archive moves old rows of the ledger and of reservations out of MySQL into files. For each cell it leaves a
// checkpoint, the state of the cell after the events that left. It deletes only rows that it has read back from the
// disk. docs/archive.md describes the files. The package decides nothing about stock, and sluice sells without it.
package archive
