//go:build !linux

package local

import "syscall"

// childAttr knows no way here to tie the child's life to this process; a child
// of a killed process stays and has to be ended by hand.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
