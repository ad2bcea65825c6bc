package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// describe prints what the figures depend on.
func describe(ctx context.Context, out io.Writer) error {
	p, err := newPair(ctx)
	if err != nil {
		return err
	}
	gso := p.near.ConnectionState().GSO
	p.close()
	fmt.Fprintf(out, "%s %s/%s, %d cores, GOMAXPROCS %d, quic-go %s, %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), runtime.GOMAXPROCS(0), moduleVersion("github.com/quic-go/quic-go"), version)
	fmt.Fprintf(out, "kernel %s, UDP buffers rmem %s/%s wmem %s/%s (default/max), GSO %t, load %s\n",
		read("/proc/sys/kernel/osrelease"),
		read("/proc/sys/net/core/rmem_default"), read("/proc/sys/net/core/rmem_max"),
		read("/proc/sys/net/core/wmem_default"), read("/proc/sys/net/core/wmem_max"),
		gso, read("/proc/loadavg"))
	fmt.Fprintln(out, "raw QUIC over UDP loopback, both ends in this process")
	return nil
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
