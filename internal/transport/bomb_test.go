package transport

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHeaderBomb: an answer to CONNECT with a header of a megabyte is refused before it is
// read.
func TestHeaderBomb(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		bomb := strings.Repeat("~", 1<<20) // no shorter in Huffman's code
		s := n.serve(serverOptions{handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("bomb", bomb)
			w.WriteHeader(http.StatusOK)
		}})
		var before, after runtime.MemStats
		begin := time.Now()
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		runtime.GC()
		runtime.ReadMemStats(&after)
		t.Log(err)
		require.Error(t, err)
		require.Less(t, time.Since(begin), 5*time.Second)
		require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(4<<20), "the server's copy of it, and its encoding")
	})
}
