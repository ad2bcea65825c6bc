package pubsub

import "strings"

// node is one path segment of an origin's table. All of a tree is guarded by Origin.mu.
type node struct {
	parent   *node
	name     string
	only     *node            // the child, if there is one
	children map[string]*node // the children, if there were more
	routes   []*route         // at this very path
	cursors  []*Announcements // whose prefix is this very path
}

// child returns the child of that name, or nil.
func (n *node) child(name string) *node {
	if n.children != nil {
		return n.children[name]
	}
	if n.only != nil && n.only.name == name {
		return n.only
	}
	return nil
}

// bear makes a child of that name, which there is not.
func (n *node) bear(name string) *node {
	child := &node{parent: n, name: name}
	switch {
	case n.children != nil:
		n.children[name] = child
	case n.only != nil:
		n.children = map[string]*node{n.only.name: n.only, name: child}
		n.only = nil
	default:
		n.only = child
	}
	return child
}

// lose takes a child out.
func (n *node) lose(child *node) {
	delete(n.children, child.name)
	if len(n.children) == 0 {
		n.children = nil
	}
	if n.only == child {
		n.only = nil
	}
}

// find returns the node at path, or nil.
func (n *node) find(path string) *node {
	for path != "" && n != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		n = n.child(name)
	}
	return n
}

// grow returns the node at path and makes what is missing on the way.
func (n *node) grow(path string) *node {
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		child := n.child(name)
		if child == nil {
			child = n.bear(name)
		}
		n = child
	}
	return n
}

// prune removes n and its ancestors as far as they hold nothing.
func (n *node) prune() {
	for n.parent != nil && n.only == nil && n.children == nil && len(n.routes) == 0 && len(n.cursors) == 0 {
		n.parent.lose(n)
		n = n.parent
	}
}

// walk calls visit for n and everything below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	n.below(visit)
}

// below calls visit for everything below n.
func (n *node) below(visit func(*node)) {
	if n.only != nil {
		n.only.walk(visit)
	}
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
		if n = n.child(name); n == nil {
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
