//go:build !linux

package peers

import "syscall"

// endWithParent does nothing where the kernel offers nothing.
func endWithParent() *syscall.SysProcAttr { return nil }
