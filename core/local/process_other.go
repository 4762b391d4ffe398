//go:build !linux

package local

import "syscall"

// childAttr cannot tie the child's life to this process on this system. If this process is killed, its children stay,
// and somebody has to end them by hand.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
