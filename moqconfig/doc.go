// Package moqconfig reads what a program that uses package moq is told by whoever runs
// it: from flags, from MOQ_* variables and from a file. [Settings] holds all of it, and
// [Settings.Config] makes a [moq.Config].
//
// A flag goes before its variable, a variable before the file, and the file before the
// program's own defaults: fill the Settings with these, decode the file into them, call
// RegisterFlags, then parse the flags. A list is separated by commas, and replaces what
// stood before it.
//
//	flag                    variable                   key in JSON and TOML
//	-url                    MOQ_URL                    url
//	-versions               MOQ_VERSIONS               versions
//	-server-name            MOQ_SERVER_NAME            server_name
//	-roots                  MOQ_ROOTS                  roots
//	-fingerprints           MOQ_FINGERPRINTS           fingerprints
//	-insecure               MOQ_INSECURE               insecure
//	-client-certificate     MOQ_CLIENT_CERTIFICATE     client_certificate
//	-client-key             MOQ_CLIENT_KEY             client_key
//	-connect-timeout        MOQ_CONNECT_TIMEOUT        connect_timeout
//	-keep-alive             MOQ_KEEP_ALIVE             keep_alive
//	-idle-timeout           MOQ_IDLE_TIMEOUT           idle_timeout
//	-backoff-initial        MOQ_BACKOFF_INITIAL        backoff.initial
//	-backoff-hold           MOQ_BACKOFF_HOLD           backoff.hold
//	-backoff-multiplier     MOQ_BACKOFF_MULTIPLIER     backoff.multiplier
//	-backoff-max            MOQ_BACKOFF_MAX            backoff.max
//	-backoff-first-timeout  MOQ_BACKOFF_FIRST_TIMEOUT  backoff.first_timeout
//	-backoff-timeout        MOQ_BACKOFF_TIMEOUT        backoff.timeout
//
// backoff.stable_after can only be given in a file, and there backoff may also be a
// policy in text form, such as "eager".
//
// A token in the URL is a secret that other users of a machine can see among the
// arguments of a process. MOQ_URL, or a file, is the better place.
package moqconfig
