package store

import (
	"errors"
	"net/textproto"
	"strings"

	"cacheproxy/policy/httpcache"
)

// Restore makes a copy again from what another process has kept of one: its status, its Head, its body and the coding that the
// body is held in, with the length of the body without it. Nothing is taken on trust: a head that could not have been written
// here is refused. The caller has a reference to the copy. Life, Vary, Members, Stamp and Digest are the caller's to set.
func Restore(status int, head string, body []byte, coding httpcache.Coding, length int) (*Copy, error) {
	if status < 200 || status > 999 {
		return nil, errors.New("restore copy: it has no final status")
	}
	c := &Copy{Status: status, body: body}
	if err := c.setHead(head); err != nil {
		return nil, err
	}
	switch {
	case coding > httpcache.Zstd:
		return nil, errors.New("restore copy: it is held in an unknown coding")
	case coding != httpcache.Identity:
		c.coded = &coded{coding: coding, length: length}
		c.coded.describe(c)
	case length != len(body):
		return nil, errors.New("restore copy: its body has another length than it should")
	}
	return c.make(body), nil
}

var errHead = errors.New("restore copy: its header is not one that was written here")

// setHead finds names and values in a head, as setHeader wrote it.
func (c *Copy) setHead(head string) error {
	lines := strings.Count(head, "\r\n")
	c.Head = head
	c.fields = make([]field, 0, lines)
	c.values = make([]string, 0, lines)
	for rest := head; rest != ""; {
		line, after, whole := strings.Cut(rest, "\r\n")
		name, value, named := strings.Cut(line, ": ")
		if !whole || !named || name == "" || strings.ContainsAny(name, "\r\n\x00:") || strings.ContainsAny(value, "\r\n\x00") ||
			value != textproto.TrimString(value) {
			return errHead
		}
		n := len(c.fields)
		if n > 0 && name < c.fields[n-1].name {
			return errHead
		}
		if n == 0 || name != c.fields[n-1].name {
			c.fields = append(c.fields, field{name: name, first: len(c.values)})
			n++
		}
		c.values = append(c.values, value)
		c.fields[n-1].last = len(c.values)
		rest = after
	}
	if len(c.fields) < cap(c.fields) { // some names have several lines
		c.fields = append(make([]field, 0, len(c.fields)), c.fields...)
	}
	return nil
}
