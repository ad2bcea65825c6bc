package wire

import "strconv"

// Version is a version of moq-lite. The zero Version is not valid, and a message
// cannot be written or read with it.
type Version uint8

// The versions that this package speaks.
const (
	// Lite05 is moq-lite-05.
	Lite05 Version = iota + 1
	// Lite06 is moq-lite-06.
	Lite06
)

// Versions returns all versions, newest first, which is the order to offer them in.
func Versions() []Version { return []Version{Lite06, Lite05} }

// ParseVersion returns the version with the given ALPN, which is also its
// WebTransport sub-protocol (§1.1).
func ParseVersion(alpn string) (Version, bool) {
	for _, v := range Versions() {
		if v.ALPN() == alpn {
			return v, true
		}
	}
	return 0, false
}

// ALPN returns the version's ALPN and WebTransport sub-protocol. It panics if the
// version is not valid.
func (v Version) ALPN() string { return v.layout().alpn }

// String returns the ALPN, or a number for a version that is not valid.
func (v Version) String() string {
	if !v.valid() {
		return "Version(" + strconv.Itoa(int(v)) + ")"
	}
	return v.ALPN()
}

// AnnounceIDs reports whether announcements are ended and updated by their number
// on the announce stream, instead of by their suffix.
func (v Version) AnnounceIDs() bool { return v.layout().announceIDs }

// ExcludeHop reports whether ANNOUNCE_REQUEST says which Hop ID to leave out. If not,
// the publisher goes by the Hop of the peer's SETUP.
func (v Version) ExcludeHop() bool { return v.layout().excludeHop }

// StartFloor reports whether a subscription without a start begins at the oldest
// group within its Max Age. If not, it begins at the latest group.
func (v Version) StartFloor() bool { return v.layout().rawGroupStart }

// FrameBounds reports whether a subscription, a fetch and a group can begin or end
// in the middle of a group.
func (v Version) FrameBounds() bool { return v.layout().frameBounds }
