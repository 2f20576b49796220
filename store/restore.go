package store

import (
	"errors"
	"net/textproto"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Restore makes a copy from what another process has stored of one: status, Head, body, the coding in which the body is held, and the length of the body
// without it. The values are checked: it fails if the head could not have been written by this package. The caller gets a reference, and has to
// set Life, Vary, Asked, Members, Stamp and Digest.
func Restore(status int, head string, body []byte, coding httpcache.Coding, length int) (*Copy, error) {
	if status < 200 || status > 999 {
		return nil, errors.New("restore copy: it has no final status")
	}
	if !wellFormed(head) {
		return nil, errHead
	}
	c := newLoose(status, 0, made{head: head})
	switch {
	case coding > httpcache.Zstd:
		return nil, errors.New("restore copy: it is held in an unknown coding")
	case coding != httpcache.Identity:
		c.made().coded = &coded{coding: coding, length: length}
	case length != len(body):
		return nil, errors.New("restore copy: its body has another length than it should")
	}
	return c.begin(body), nil
}

var errHead = errors.New("restore copy: its header is not one that was written here")

// wellFormed reports whether a head is one that headOf could have written.
func wellFormed(head string) bool {
	last := ""
	for rest := head; rest != ""; {
		line, after, whole := strings.Cut(rest, "\r\n")
		name, value, named := strings.Cut(line, ": ")
		if !whole || !named || name == "" || strings.ContainsAny(name, "\r\n\x00:") || strings.ContainsAny(value, "\r\n\x00") ||
			value != textproto.TrimString(value) || name < last {
			return false
		}
		last, rest = name, after
	}
	return true
}
