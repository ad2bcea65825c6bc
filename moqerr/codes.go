package moqerr

import "strconv"

// SessionCode says why a MoQ session was closed. The values are those of the
// November registry (moq-lite.md §5.1a).
type SessionCode uint64

// Session close codes.
const (
	SessionNoError        SessionCode = 0    // a clean close
	SessionInternal       SessionCode = 1    // an internal error, or the transport died
	SessionUnauthorized   SessionCode = 2    // the credential was rejected, expired or revoked
	SessionProtocol       SessionCode = 3    // the peer broke the protocol: malformed, duplicate, unexpected
	SessionParameters     SessionCode = 6    // malformed parameters; before November: unauthorized
	SessionGoawayTimeout  SessionCode = 0x10 // the time after a GOAWAY ran out
	SessionControlTimeout SessionCode = 0x11 // SETUP, or another control message, did not come in time
	SessionVersion        SessionCode = 0x15 // no version in common

	// SessionApplication is where application codes begin. A relay that has an HTTP
	// status to report closes with SessionApplication + status.
	SessionApplication SessionCode = 64
)

var sessionNames = map[SessionCode]string{
	SessionNoError:        "no error",
	SessionInternal:       "internal error",
	SessionUnauthorized:   "unauthorized",
	SessionProtocol:       "protocol violation",
	SessionParameters:     "malformed parameters",
	SessionGoawayTimeout:  "goaway timeout",
	SessionControlTimeout: "control message timeout",
	SessionVersion:        "version negotiation failed",
}

// String returns the code's name, or its number in hexadecimal.
func (c SessionCode) String() string {
	return codeName(uint64(c), uint64(SessionApplication), sessionNames[c])
}

// Status returns the HTTP status that a relay reports in a close code
// (64 + status), or 0 if the code is no such report.
func (c SessionCode) Status() int {
	if c < SessionApplication+100 || c > SessionApplication+599 {
		return 0
	}
	return int(c - SessionApplication)
}

// StreamCode says why a stream was reset or is not wanted any more: a group, a
// subscription, a fetch. The values are those of the November registry
// (moq-lite.md §5.1a).
type StreamCode uint64

// Stream reset codes.
const (
	StreamInternal        StreamCode = 0    // an internal error, or the publisher's session died
	StreamCancelled       StreamCode = 1    // nobody wants it any more
	StreamDeliveryTimeout StreamCode = 2    // it could not be delivered in time
	StreamSessionClosed   StreamCode = 3    // the session is closing
	StreamGoingAway       StreamCode = 4    // the peer is going away
	StreamTooFarBehind    StreamCode = 5    // the reader fell behind what is kept
	StreamMalformed       StreamCode = 0x12 // the track's data cannot be decoded
	StreamControlTimeout  StreamCode = 0x31 // a request was not answered in time
	StreamGroupTooLarge   StreamCode = 0x32 // more frames or bytes than a group may have
	StreamNotFound        StreamCode = 0x33 // no such track or group
	StreamOld             StreamCode = 0x34 // older than Max Age
	StreamEvicted         StreamCode = 0x35 // evicted from a cache, may be fetched again
	StreamUnroutable      StreamCode = 0x36 // nobody serves that broadcast
	StreamWrongSize       StreamCode = 0x37 // a payload that is not as long as announced
	StreamFrameTooLarge   StreamCode = 0x38 // a frame over the limit
	StreamTimestamp       StreamCode = 0x39 // timestamps that do not fit the track

	// StreamApplication is where application codes begin.
	StreamApplication StreamCode = 64
)

var streamNames = map[StreamCode]string{
	StreamInternal:        "internal error",
	StreamCancelled:       "cancelled",
	StreamDeliveryTimeout: "delivery timeout",
	StreamSessionClosed:   "session closed",
	StreamGoingAway:       "going away",
	StreamTooFarBehind:    "too far behind",
	StreamMalformed:       "malformed track",
	StreamControlTimeout:  "control request timeout",
	StreamGroupTooLarge:   "group too large",
	StreamNotFound:        "not found",
	StreamOld:             "old",
	StreamEvicted:         "evicted",
	StreamUnroutable:      "unroutable",
	StreamWrongSize:       "wrong size",
	StreamFrameTooLarge:   "frame too large",
	StreamTimestamp:       "timestamp mismatch",
}

// String returns the code's name, or its number in hexadecimal.
func (c StreamCode) String() string {
	return codeName(uint64(c), uint64(StreamApplication), streamNames[c])
}

func codeName(code, application uint64, name string) string {
	switch {
	case name != "":
		return name
	case code >= application:
		return "application code " + strconv.FormatUint(code-application, 10)
	default:
		return "code 0x" + strconv.FormatUint(code, 16)
	}
}
