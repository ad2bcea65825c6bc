package peers

import "syscall"

// endWithParent makes the kernel kill a child when this process dies.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
