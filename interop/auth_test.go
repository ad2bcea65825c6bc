//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// AuthServer decides for a relay who is admitted: the token "good" is, and one that
// [timedToken] made is until its time is over. It speaks the contract of --auth-url: one
// JSON POST for each event of a session, of which "connect" is answered with a grant or
// a refusal.
type AuthServer struct {
	URL string

	mu    sync.Mutex
	down  bool
	asked []authRequest
}

type authRequest struct {
	ID, Event, Path, Query, Transport, Alpn string
}

type authGrant struct {
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`
	Expires   int64    `json:"expires,omitempty"` // in seconds since 1970
}

// timedToken is a token that is good until then, a whole second.
func timedToken(until time.Time) string { return fmt.Sprintf("until-%d", until.Unix()) }

// expiry returns when a token ends, 0 if it does not, and whether it is good now.
func expiry(token string) (until int64, good bool) {
	if token == "good" {
		return 0, true
	}
	_, err := fmt.Sscanf(token, "until-%d", &until)
	return until, err == nil && time.Now().Unix() < until
}

func startAuthServer(t *testing.T) *AuthServer {
	t.Helper()
	a := new(AuthServer)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URL = server.URL + "/"
	return a
}

// SetDown makes it answer everything with 500, or well again.
func (a *AuthServer) SetDown(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
}

// Asked returns the requests for a path, in order.
func (a *AuthServer) Asked(path string) []authRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	var requests []authRequest
	for _, r := range a.asked {
		if r.Path == path {
			requests = append(requests, r)
		}
	}
	return requests
}

// ServeHTTP answers one event.
func (a *AuthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request authRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch status, until := a.decide(request); status {
	case http.StatusOK:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(authGrant{Publish: []string{"**"}, Subscribe: []string{"**"}, Expires: until})
	default:
		w.WriteHeader(status)
	}
}

func (a *AuthServer) decide(r authRequest) (status int, until int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r)
	if a.down {
		return http.StatusInternalServerError, 0
	}
	query, err := url.ParseQuery(r.Query)
	if until, good := expiry(query.Get("jwt")); err == nil && good {
		return http.StatusOK, until
	}
	return http.StatusUnauthorized, 0
}

// tokenURL is the relay's address with a token.
func (r *Relay) tokenURL(carrier, token string) string {
	return r.URL(carrier) + "?jwt=" + token
}

func TestAuthServerDecides(t *testing.T) {
	a := startAuthServer(t)
	soon := time.Now().Add(time.Minute)
	for query, want := range map[string]int{
		"jwt=good": http.StatusOK, "jwt=bad": http.StatusUnauthorized, "": http.StatusUnauthorized,
		"jwt=" + timedToken(soon): http.StatusOK, "jwt=" + timedToken(time.Now()): http.StatusUnauthorized,
	} {
		status, _ := a.decide(authRequest{Query: query})
		require.Equal(t, want, status, query)
	}
	_, until := a.decide(authRequest{Query: "jwt=" + timedToken(soon)})
	require.Equal(t, soon.Unix(), until)
	a.SetDown(true)
	status, _ := a.decide(authRequest{Query: "jwt=good"})
	require.Equal(t, http.StatusInternalServerError, status)
}
