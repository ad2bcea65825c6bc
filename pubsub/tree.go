package pubsub

import "strings"

// node is one path segment of an origin's table. All of a tree is guarded by Origin.mu.
type node struct {
	parent   *node
	name     string
	children map[string]*node
	routes   []*route         // at this very path
	cursors  []*Announcements // whose prefix is this very path
}

// find returns the node at path, or nil.
func (n *node) find(path string) *node {
	for path != "" && n != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		n = n.children[name]
	}
	return n
}

// grow returns the node at path and makes what is missing on the way.
func (n *node) grow(path string) *node {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		child := n.children[name]
		if child == nil {
			child = &node{parent: n, name: name}
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[name] = child
		}
		n = child
	}
	return n
}

// prune removes n and its ancestors as far as they hold nothing.
func (n *node) prune() {
	for n.parent != nil && len(n.children) == 0 && len(n.routes) == 0 && len(n.cursors) == 0 {
		delete(n.parent.children, n.name)
		n = n.parent
	}
}

// walk calls visit for n and everything below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, child := range n.children {
		child.walk(visit)
	}
}

// best returns the best of the node's own routes that exclude may see, or nil.
func (n *node) best(exclude uint64) *route {
	var best *route
	for _, r := range n.routes {
		if r.visibleTo(exclude) && (best == nil || r.before(best)) {
			best = r
		}
	}
	return best
}

// covering returns the route that serves path: the best one at the longest prefix that
// has any. A local broadcast serves its exact path only.
func (n *node) covering(path string, exclude uint64) *route {
	var best *route
	for {
		var at *route
		if path == "" {
			at = n.best(exclude)
		} else {
			at = n.bestAttached(exclude)
		}
		if at != nil {
			best = at
		}
		if path == "" {
			return best
		}
		var name string
		name, path, _ = strings.Cut(path, "/")
		if n = n.children[name]; n == nil {
			return best
		}
	}
}

func (n *node) bestAttached(exclude uint64) *route {
	var best *route
	for _, r := range n.routes {
		if r.local == nil && r.visibleTo(exclude) && (best == nil || r.before(best)) {
			best = r
		}
	}
	return best
}
