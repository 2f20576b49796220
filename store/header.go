package store

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"cacheproxy/policy/httpcache"
)

// lineBreaks replaces the bytes that could end a line within a value by spaces, as net/http does: an origin that sends a bare CR must not be able to
// make a client see another field.
var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// headOf writes a header as Copy.Head has it.
func headOf(header http.Header) string {
	names, size := make([]string, 0, 32), 0
	for name, values := range header {
		if len(values) > 0 {
			names = append(names, name)
		}
		for _, v := range values {
			size += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	slices.Sort(names)
	var b strings.Builder
	b.Grow(size)
	for _, name := range names {
		for _, v := range header[name] {
			b.WriteString(name)
			b.WriteString(": ")
			b.WriteString(textproto.TrimString(lineBreaks.Replace(v)))
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

// nextLine splits off the first of the lines, which must be as headOf writes them and not empty, and splits it into name and value.
func nextLine(lines string) (name, value, rest string) {
	colon, end := strings.IndexByte(lines, ':'), strings.IndexByte(lines, '\n')
	return lines[:colon], lines[colon+len(": ") : end-len("\r")], lines[end+1:]
}

// Has reports whether the header has a field, by its canonical name.
func (c *Copy) Has(name string) bool {
	_, ok := c.first(name)
	return ok
}

// Get is the first value of a field by its canonical name, or "". It is a view.
func (c *Copy) Get(name string) string {
	value, _ := c.first(name)
	return value
}

func (c *Copy) first(name string) (value string, ok bool) {
	// Names are sorted, and short: to compare them costs less than to divide their lines.
	for lines := c.Head(); lines != "" && lines[0] <= name[0]; {
		if len(lines) > len(name) && lines[len(name)] == ':' && lines[:len(name)] == name {
			_, value, _ = nextLine(lines)
			return value, true
		}
		lines = lines[strings.IndexByte(lines, '\n')+1:]
	}
	return "", false
}

// AppendValues appends the values of a field by its canonical name, which are views.
func (c *Copy) AppendValues(to []string, name string) []string {
	for lines := c.Head(); lines != ""; {
		var n, value string
		if n, value, lines = nextLine(lines); n == name {
			to = append(to, value)
		}
	}
	return to
}

// Values are the values of a field by its canonical name, for the caller to keep.
func (c *Copy) Values(name string) []string {
	values := c.AppendValues(nil, name)
	for i, v := range values {
		values[i] = strings.Clone(v)
	}
	return values
}

// CopyHeaderAnd adds the stored fields to dst, for the caller to keep. With held, they describe the body as it is held, and not the plain body. text is
// more as a string, and room an empty slice with capacity for two, so that the caller can add one or two lines without an allocation.
func (c *Copy) CopyHeaderAnd(dst http.Header, held bool, more []byte) (text string, room []string) {
	head := c.Head()
	var scratch [128]byte
	coded, n := scratch[:0], 0
	if held = held && c.Coding() != httpcache.Identity; held {
		coded, n = c.appendRecoded(coded)
	}
	var b strings.Builder
	b.Grow(len(head) + len(coded) + len(more))
	b.WriteString(head)
	b.Write(coded)
	b.Write(more)
	lines := b.String()[:len(head)]
	values := make([]string, 0, strings.Count(lines, "\n")+2+2)
	for last := ""; lines != ""; {
		var name, value string
		name, value, lines = nextLine(lines)
		at := len(values)
		values = append(values, value)
		if name == last {
			dst[name] = values[at-len(dst[name]) : at+1 : at+1]
		} else {
			dst[name] = values[at : at+1 : at+1]
		}
		last = name
	}
	all := b.String()
	if held {
		values = c.recode(dst, values, all[len(head):len(head)+len(coded)], n)
	}
	return all[len(head)+len(coded):], values[len(values) : len(values) : len(values)+2]
}

// copyHeader adds the stored fields to dst, for the caller to keep.
func (c *Copy) copyHeader(dst http.Header) { c.CopyHeaderAnd(dst, false, nil) }

// Header is the stored header section as a map of its own.
func (c *Copy) Header() http.Header {
	h := make(http.Header, 16)
	c.copyHeader(h)
	return h
}
