package wire

// AnnounceKind says what an [Announce] tells. The values are the type varints of
// lite-06.
type AnnounceKind uint8

// Kinds of announcements.
const (
	AnnounceStart   AnnounceKind = iota // a route; lite-06 numbers these from 0 on each stream
	AnnounceEnd                         // a route is gone
	AnnounceUpdate                      // a route has other hops or costs
	AnnounceUnknown                     // of an unknown type: to be skipped, counts for nothing
	AnnounceLong                        // a start over MaxMessage, which was skipped but has its number
)

// Announce is an announcement of a route, with its end and its changes (§4.3, §4.14).
//
// On lite-06 an end has ID only, and an update ID, Hops, Warm and Cold. On lite-05,
// which has no numbers and no costs, all three have Suffix, an end has nothing else,
// Cold is read as MaxVarint, and an update is written as a second start.
type Announce struct {
	Kind   AnnounceKind
	ID     uint64   // which start is ended or updated; lite-06
	Suffix string   // what is left of the path below the requested prefix
	Hops   []uint64 // oldest first, without the sender; at most MaxHops, no id twice but 0
	Warm   uint64   // cost while somebody reads the route already; saturates at MaxVarint
	Cold   uint64   // cost otherwise; saturates at MaxVarint
}

// The status byte of lite-05.
const (
	statusEnded   = 0
	statusActive  = 1
	statusRestart = 2
)

// Append appends the message with its type, if the version has one, and its length.
// It panics on AnnounceUnknown.
func (m Announce) Append(b []byte, v Version) []byte {
	if m.Kind >= AnnounceUnknown {
		panic("wire: announcement of unknown kind")
	}
	if !v.layout().announceIDs {
		return m.appendStatus(b)
	}
	b = append(b, byte(m.Kind))
	start := len(b)
	if m.Kind == AnnounceStart {
		b = appendPath(b, m.Suffix)
	} else {
		b = AppendVarint(b, m.ID)
	}
	if m.Kind != AnnounceEnd {
		b = appendHops(b, m.Hops)
		if v.layout().costs {
			b = AppendVarint(b, min(m.Warm, MaxVarint))
			b = AppendVarint(b, min(m.Cold, MaxVarint))
		}
	}
	return seal(b, start)
}

func (m Announce) appendStatus(b []byte) []byte {
	start := len(b)
	if m.Kind == AnnounceEnd {
		b = append(b, statusEnded)
		b = appendPath(b, m.Suffix)
		b = append(b, 0)
		return seal(b, start)
	}
	b = append(b, statusActive)
	b = appendPath(b, m.Suffix)
	b = appendHops(b, m.Hops)
	return seal(b, start)
}

// ParseAnnounce reads the body of an announcement. typ is the varint before its
// length, and ignored on a version that has none; see [ReadAnnounce].
func ParseAnnounce(typ uint64, body []byte, v Version) (Announce, error) {
	if !v.layout().announceIDs {
		return parseStatus(body)
	}
	if typ >= uint64(AnnounceUnknown) {
		return Announce{Kind: AnnounceUnknown}, nil
	}
	m := Announce{Kind: AnnounceKind(typ), Cold: MaxVarint}
	d := &decoder{message: announceNames[m.Kind], rest: body}
	if m.Kind == AnnounceStart {
		m.Suffix = d.path("suffix")
	} else {
		m.ID = d.varint("announce id")
	}
	if m.Kind == AnnounceEnd {
		m.Cold = 0
		return m, d.done()
	}
	m.Hops = d.hops()
	if v.layout().costs {
		m.Warm = d.varint("warm cost")
		m.Cold = d.varint("cold cost")
	}
	return m, d.done()
}

var announceNames = [...]string{"ANNOUNCE_START", "ANNOUNCE_END", "ANNOUNCE_UPDATE"}

func parseStatus(body []byte) (Announce, error) {
	d := &decoder{message: "ANNOUNCE", rest: body}
	status := d.byte("status")
	m := Announce{Suffix: d.path("suffix"), Hops: d.hops(), Cold: MaxVarint}
	switch status {
	case statusActive:
		m.Kind = AnnounceStart
	case statusRestart:
		m.Kind = AnnounceUpdate
	case statusEnded:
		// An end has an empty hop list; one that is not says nothing.
		m = Announce{Kind: AnnounceEnd, Suffix: m.Suffix}
	default:
		d.fail("status", ErrRange)
	}
	return m, d.done()
}

// maxLongAnnounce is the longest announcement that is skipped: what released relays pass
// on (§3.7). Longer ones are refused.
const maxLongAnnounce = 64 << 20

// ReadAnnounce reads the next announcement of an announce stream, in whichever
// framing the version has. It returns io.EOF at the end of the stream.
//
// A start over MaxMessage is skipped and comes as AnnounceLong, or as AnnounceUnknown if
// the version has no numbers: a relay passes on what strangers announce, and that must not
// be able to end our session.
func ReadAnnounce(r *Reader, v Version) (Announce, error) {
	var typ uint64
	var err error
	ids := v.layout().announceIDs
	if ids {
		if typ, err = r.varint("message", "type", true); err != nil {
			return Announce{}, err
		}
	}
	skipped, body, err := r.messageOrSkip(maxLongAnnounce, !ids)
	switch {
	case err != nil:
		return Announce{}, err
	case !skipped:
		return ParseAnnounce(typ, body, v)
	case !ids || typ > uint64(AnnounceUpdate):
		return Announce{Kind: AnnounceUnknown}, nil
	case typ == uint64(AnnounceStart):
		return Announce{Kind: AnnounceLong}, nil
	default:
		return Announce{}, r.fail(&Error{Message: "ANNOUNCE", Field: "length", Err: ErrTooLarge})
	}
}
