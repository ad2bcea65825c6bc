// Package moqerr holds the errors that every layer of the library makes and
// matches: close and reset codes, typed errors with their scope, and a handful of
// sentinels. It imports the standard library only.
//
// Scope shows in the type: a [SessionError] ended a whole session, a [StreamError]
// one track, group or request. Both say whether the peer or this side decided it.
package moqerr
