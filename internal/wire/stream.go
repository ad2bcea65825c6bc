package wire

// StreamType is the first varint of a bidirectional stream: what is asked (§4.1).
type StreamType uint64

// Types of bidirectional streams.
const (
	StreamAnnounce  StreamType = 1 // ANNOUNCE_REQUEST, answered by ANNOUNCE_OK and announcements
	StreamSubscribe StreamType = 2 // SUBSCRIBE and updates, answered by START, END and DROP
	StreamFetch     StreamType = 3 // FETCH, answered by frames
	StreamProbe     StreamType = 4 // nothing, answered by PROBE messages
	StreamGoaway    StreamType = 5 // GOAWAY, not answered
	StreamTrack     StreamType = 6 // TRACK, answered by TRACK_INFO
)

// UniType is the first varint of a unidirectional stream: what it brings (§4.1).
type UniType uint64

// Types of unidirectional streams.
const (
	UniGroup UniType = 0 // GROUP and its frames
	UniSetup UniType = 1 // SETUP, once for each side
)
