package transport

import "syscall"

// Winsock's numbers; the names in package syscall are invented ones.
const (
	wsaEACCES        syscall.Errno = 10013
	wsaEADDRNOTAVAIL syscall.Errno = 10049
	wsaENETDOWN      syscall.Errno = 10050
	wsaENETUNREACH   syscall.Errno = 10051
	wsaENETRESET     syscall.Errno = 10052
	wsaECONNRESET    syscall.Errno = 10054
	wsaENOBUFS       syscall.Errno = 10055
	wsaECONNREFUSED  syscall.Errno = 10061
	wsaEHOSTDOWN     syscall.Errno = 10064
	wsaEHOSTUNREACH  syscall.Errno = 10065
)

// unreachable says that errno means a peer or a network out of reach, which may come
// back. WSAEACCES is among them: a packet filter makes it.
func unreachable(errno syscall.Errno) bool {
	switch errno {
	case wsaENETUNREACH, wsaEHOSTUNREACH, wsaENETDOWN, wsaENETRESET, wsaEHOSTDOWN, wsaEADDRNOTAVAIL, wsaEACCES:
		return true
	}
	return refused(errno)
}

// refused says that nobody listens at the peer's port.
func refused(errno syscall.Errno) bool { return errno == wsaECONNREFUSED || errno == wsaECONNRESET }

// congested says that our own interface has more to send than it can.
func congested(errno syscall.Errno) bool { return errno == wsaENOBUFS }
