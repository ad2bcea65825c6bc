package relay

import (
	"context"

	"github.com/quic-go/quic-go"
)

// Drain asks every client to leave (GOAWAY), those that come meanwhile too, and
// serves on until all have left or ctx ends. It closes the rest with "goaway timeout",
// and then the relay.
func (r *Relay) Drain(ctx context.Context) error {
	r.drain()
	r.awaitEmpty(ctx)
	r.stopListening()
	r.expire()
	r.awaitEmpty(context.Background())
	return r.Close()
}

// Close closes every session with code 0 and the port, and waits until all that the
// relay started has ended. Closing again only waits.
func (r *Relay) Close() error {
	t := r.stopListening()
	r.cancel()
	r.work.Wait()
	return free(t)
}

// Kill closes the port without a word to anybody, as a crash would, and waits until
// all that the relay started has ended. Clients notice by silence only.
func (r *Relay) Kill() error {
	r.mu.Lock()
	r.closed = true
	t := r.transport
	r.mu.Unlock()
	err := free(t)
	r.cancel()
	r.work.Wait()
	return err
}

// stopListening turns new clients away and returns what the others are served on; nil
// if there never was a port.
func (r *Relay) stopListening() *quic.Transport {
	r.mu.Lock()
	r.closed = true
	listener, t := r.listener, r.transport
	r.mu.Unlock()
	if listener != nil {
		_ = listener.Close() // always nil
	}
	return t
}

// free closes the port; what still used it dies without a word.
func free(t *quic.Transport) error {
	if t == nil {
		return nil
	}
	err := t.Close()
	_ = t.Conn.Close() // the transport leaves a socket that it was given open; another call finds it closed
	return err
}
