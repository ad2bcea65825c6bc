package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
)

// arm is one way to meet the outages of a row.
type arm struct {
	row, name, what string
	relay           peers.RelayOptions
	hidden          bool // behind a proxy that hides ICMP
	target          target
	start           func(url, fingerprint string, arrivals *timeline) (clients, error)
}

func (a arm) String() string { return a.row + "/" + a.name }

// upstreamName is that of the arm that the others of its row are compared with.
const upstreamName = "U"

const (
	// shortIdle is the idle timeout with which upstream's client is back soonest. It has no
	// setting for one, but takes what the relay asks for. With 200 ms and less an attempt
	// that meets the relay still down costs it a second, and the median is worse.
	shortIdle = 300 * time.Millisecond
	// shortWait is between two of its attempts.
	shortWait = 10 * time.Millisecond
)

// arms are all of both rows.
func arms() []arm {
	p1 := target{p50: 450 * time.Millisecond, p99: 2 * time.Second, ratio: 0.8}
	p2 := target{p50: 900 * time.Millisecond, p99: 2 * time.Second, ratio: 1.0 / 15}
	short := peers.RelayOptions{Idle: shortIdle, KeepAlive: shortIdle / 3}
	return []arm{
		{row: "P1", name: "eager", what: "Eager", target: p1, start: library(moq.Config{Backoff: moq.Eager()})},
		{row: "P1", name: "default", what: "default backoff", target: target{noWorse: true}, start: library(moq.Config{})},
		{row: "P1", name: upstreamName, what: "upstream's client, defaults", start: python(0)},

		{row: "P2", name: "hint", what: "Eager, ICMP heard", target: p2, start: library(moq.Config{Backoff: moq.Eager()})},
		{row: "P2", name: "nohint", what: "Eager, ICMP ignored", target: p2, start: library(deaf(moq.Config{Backoff: moq.Eager()}))},
		{row: "P2", name: "proxy", what: "Eager, ICMP hidden by a proxy", target: p2, hidden: true, start: library(moq.Config{Backoff: moq.Eager()})},
		{row: "P2", name: upstreamName, what: "upstream's client, defaults", start: python(0)},
		{
			row: "P2", name: "U-short", what: fmt.Sprintf("upstream's client, backoff %v, idle timeout %v (the relay's: it has none)", shortWait, shortIdle),
			relay: short, start: python(shortWait),
		},
	}
}

func library(config moq.Config) func(url, fingerprint string, arrivals *timeline) (clients, error) {
	return func(url, fingerprint string, arrivals *timeline) (clients, error) {
		return startOurs(config, url, fingerprint, arrivals)
	}
}

// deaf switches the hint of ICMP errors off.
func deaf(config moq.Config) moq.Config {
	config.QUIC.DisableICMP = true
	return config
}

func python(backoff time.Duration) func(url, fingerprint string, arrivals *timeline) (clients, error) {
	return func(url, fingerprint string, arrivals *timeline) (clients, error) {
		return startUpstream(backoff, url, fingerprint, arrivals)
	}
}

// rig is an arm that runs: a relay, perhaps a proxy before it, and two clients.
type rig struct {
	arm      arm
	relay    *peers.Relay
	proxy    *peers.Proxy // nil: none
	clients  clients
	arrivals *timeline
}

// open starts everything and waits until frames flow. The caller closes the rig.
func (a arm) open(ctx context.Context) (*rig, error) {
	relay, err := peers.NewRelay(a.relay)
	if err != nil {
		return nil, err
	}
	r := &rig{arm: a, relay: relay, arrivals: newTimeline()}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *rig) begin(ctx context.Context) error {
	if err := r.startRelay(ctx); err != nil {
		return err
	}
	const carrier = "https"
	url := r.relay.URL(carrier)
	if r.arm.hidden {
		var err error
		if r.proxy, err = peers.NewProxy(r.relay.Addr); err != nil {
			return err
		}
		url = r.proxy.URL(carrier)
	}
	began := time.Now()
	var err error
	if r.clients, err = r.arm.start(url, r.relay.Certificate.Fingerprint, r.arrivals); err != nil {
		return err
	}
	return r.await(ctx, "no frames at the beginning", func(at []time.Time) bool { return flowing(at, began, calm, pause) })
}

func (r *rig) startRelay(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return r.relay.Start(ctx)
}

func (r *rig) close() error {
	if r.clients != nil {
		r.clients.close()
	}
	if r.proxy != nil {
		_ = r.proxy.Close()
	}
	return r.relay.Close()
}
