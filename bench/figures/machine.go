package figures

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// Machine describes what any figure depends on, in two lines.
func Machine() string {
	return fmt.Sprintf("%s %s/%s, %d cores, GOMAXPROCS %d, quic-go %s\n"+
		"kernel %s, UDP buffers rmem %s/%s wmem %s/%s (default/max), load %s\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.GOMAXPROCS(0),
		moduleVersion("github.com/quic-go/quic-go"),
		read("/proc/sys/kernel/osrelease"),
		read("/proc/sys/net/core/rmem_default"), read("/proc/sys/net/core/rmem_max"),
		read("/proc/sys/net/core/wmem_default"), read("/proc/sys/net/core/wmem_max"),
		read("/proc/loadavg"))
}

// read returns the first field of a small file, "unknown" where there is none.
func read(path string) string {
	b, err := os.ReadFile(path)
	if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "unknown"
}

func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}
