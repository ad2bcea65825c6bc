// Package settings proves that programs can read a moq.Backoff, and the Settings of
// moqconfig, with the libraries that programs use: flags and variables with
// github.com/alecthomas/kong, files with github.com/BurntSushi/toml and encoding/json.
// It holds only tests, and is a module of its own so that the library does not depend
// on either.
package settings
