//go:build interop

package interop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// AuthServer decides for a relay who is admitted: the token "good" is. It speaks
// the contract of --auth-url: one JSON POST for each event of a session, of which
// "connect" is answered with a grant or a refusal.
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
	switch status := a.decide(request); status {
	case http.StatusOK:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(authGrant{Publish: []string{"**"}, Subscribe: []string{"**"}})
	default:
		w.WriteHeader(status)
	}
}

func (a *AuthServer) decide(r authRequest) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r)
	query, err := url.ParseQuery(r.Query)
	switch {
	case a.down:
		return http.StatusInternalServerError
	case err == nil && query.Get("jwt") == "good":
		return http.StatusOK
	default:
		return http.StatusUnauthorized
	}
}

// tokenURL is the relay's address with a token.
func (r *Relay) tokenURL(carrier, token string) string {
	return r.URL(carrier) + "?jwt=" + token
}

func TestAuthServerDecides(t *testing.T) {
	a := startAuthServer(t)
	require.Equal(t, http.StatusOK, a.decide(authRequest{Query: "jwt=good"}))
	require.Equal(t, http.StatusUnauthorized, a.decide(authRequest{Query: "jwt=bad"}))
	require.Equal(t, http.StatusUnauthorized, a.decide(authRequest{}))
	a.SetDown(true)
	require.Equal(t, http.StatusInternalServerError, a.decide(authRequest{Query: "jwt=good"}))
}
