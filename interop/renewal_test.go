//go:build interop

package interop

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
)

const (
	tokenLife = 5 * time.Second
	renewals  = 5
)

// Provider gives out tokens that live for tokenLife, and keeps what a supervisor tells.
type Provider struct {
	mu     sync.Mutex
	asked  int
	events []moq.Event
}

// hooks asks and tells the provider.
func (p *Provider) hooks() moq.Hooks {
	return moq.Hooks{
		Credentials: func(context.Context, moq.Attempt) (moq.Credential, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.asked++
			until := time.Unix(time.Now().Add(tokenLife).Unix(), 0)
			return moq.Credential{Token: timedToken(until), Expires: until}, nil
		},
		Observe: func(e moq.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, e)
		},
	}
}

// static always gives the token that does not expire.
func static() moq.Hooks {
	return moq.Hooks{Credentials: func(context.Context, moq.Attempt) (moq.Credential, error) {
		return moq.Credential{Token: "good"}, nil
	}}
}

// kinds returns what happened, in order.
func (p *Provider) kinds() []moq.EventKind {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kinds []moq.EventKind
	for _, e := range p.events {
		if e.Kind != moq.EventAttempt {
			kinds = append(kinds, e.Kind)
		}
	}
	return kinds
}

// TestRenewal: a session whose token expires is replaced before it does, again and again.
// The relay never has to end one, and not a frame is lost.
func TestRenewal(t *testing.T) {
	for _, carrier := range []string{"https", "moqt"} {
		for _, role := range []string{"publisher", "subscriber"} {
			t.Run(role+" "+carrier, func(t *testing.T) {
				t.Parallel()
				auth := startAuthServer(t)
				r := startRelay(t, peers.RelayOptions{AuthURL: auth.URL})
				provider := new(Provider)
				publish, subscribe := moq.Config{Hooks: static()}, moq.Config{Hooks: static()}
				if role == "publisher" {
					publish.Hooks = provider.hooks()
				} else {
					subscribe.Hooks = provider.hooks()
				}
				p := startPair(t, r, carrier, PairOptions{Publish: publish, Subscribe: subscribe})
				renewed, other := p.publisher, p.subscriber
				if role == "subscriber" {
					renewed, other = other, renewed
				}
				awaitState(t, renewed, (renewals+1)*tokenLife, func(s moq.State) bool { return s.Generation > renewals && s.Phase == moq.Connected })
				at := p.written(t)
				p.awaitAfter(t, at, 5*time.Second)
				p.finish(t)

				require.Zero(t, renewed.State().Losses)
				require.EqualValues(t, 1, other.State().Generation)
				want := append([]moq.EventKind{moq.EventConnected}, slices.Repeat([]moq.EventKind{moq.EventReplaced}, renewals)...)
				require.Equal(t, want, provider.kinds())
				require.Empty(t, p.gaps)
				require.Zero(t, p.exact(t))
			})
		}
	}
}
