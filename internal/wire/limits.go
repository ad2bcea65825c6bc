package wire

// Limits on what is accepted from a peer (§3.8) and on what is sent.
const (
	// MaxMessage is the largest message body, in bytes. Frames have their own limit.
	MaxMessage = 64 << 10
	// MaxFrame is the largest frame payload, in bytes.
	MaxFrame = 32 << 20
	// MaxGroupFrames is the largest number of frames in a group.
	MaxGroupFrames = 8192
	// MaxGroupBytes is the largest sum of payloads in a group, in bytes.
	MaxGroupBytes = 32 << 20
	// MaxHops is the longest hop list of an announcement.
	MaxHops = 32
	// MaxPathParts is the largest number of segments of a path, also of a joined one.
	MaxPathParts = 32
	// MaxSetupParameters is the largest number of parameters of a SETUP.
	MaxSetupParameters = 64
	// MaxGoawayURI is the longest URI of a GOAWAY, in bytes.
	MaxGoawayURI = 8192

	// MaxVarint is the largest number that the wire can hold.
	MaxVarint = 1<<62 - 1
	// MaxSequence is the largest group sequence and frame index that is accepted: one
	// less than MaxVarint, so that "the one after" always fits into a field.
	MaxSequence = MaxVarint - 1
	// MaxTicks is the largest absolute timestamp that is accepted. A frame that begins
	// a stream is written as its difference to 0, which has to fit into ±2^61.
	MaxTicks = 1<<61 - 1
	// MaxHopID bounds the Hop IDs that this side makes: [1, MaxHopID). Old readers
	// hold them in a double. Any number up to MaxVarint is accepted (§3.5).
	MaxHopID = 1 << 53
)
