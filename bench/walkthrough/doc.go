// Package walkthrough runs docs/walkthrough.md as it stands: what a reader pastes works, also while servers are killed.
package walkthrough
