package moq

import "sync"

// ReconnectStats are what the sessions of a [Reconnect] add up to.
type ReconnectStats struct {
	// Stats are the sums over all sessions; RTT is that of the newest live one, MinRTT the
	// least of all.
	Stats
	// AbandonedHooks counts calls of hooks that did not return in time, PanickedHooks those
	// that panicked.
	AbandonedHooks, PanickedHooks uint64
}

// history is what is known of the sessions of a supervisor.
type history struct {
	mu    sync.Mutex
	ended Stats
	live  []*Session
}

// open adds a session that begins.
func (h *history) open(s *Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = append(h.live, s)
}

// close adds up a session that has ended.
func (h *history) close(s *Session) {
	stats := s.Stats()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, o := range h.live {
		if o == s {
			h.live = append(h.live[:i:i], h.live[i+1:]...)
			h.ended.add(stats)
			return
		}
	}
}

func (h *history) sum() ReconnectStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	sum := ReconnectStats{Stats: h.ended}
	for _, s := range h.live {
		sum.add(s.Stats())
	}
	return sum
}

// add adds the counters of another session, whose round-trip time is the newer one.
func (s *Stats) add(o Stats) {
	s.RTT = o.RTT
	if s.MinRTT == 0 || o.MinRTT > 0 && o.MinRTT < s.MinRTT {
		s.MinRTT = o.MinRTT
	}
	s.BytesSent += o.BytesSent
	s.BytesReceived += o.BytesReceived
	s.PacketsSent += o.PacketsSent
	s.PacketsReceived += o.PacketsReceived
	s.PacketsLost += o.PacketsLost
}
