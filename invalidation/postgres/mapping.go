package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"cacheproxy/policy"
)

// Event is what happens to rows.
type Event string

// The events, by their words in SQL and in the configuration.
const (
	Insert   Event = "insert"
	Update   Event = "update"
	Delete   Event = "delete"
	Truncate Event = "truncate"
)

// Mapping says what the changes of one table make unusable. It is immutable once ID is set.
type Mapping struct {
	ID            string // see Identify
	Schema, Table string
	On            []Event // in the order of the constants; at least one
	// Watched are the columns of which one has to change for an UPDATE of a row to count; with those in Columns. Empty: every row that
	// an UPDATE touches counts, changed or not.
	Watched []string
	// Columns are those whose values a row of the outbox carries, in its order: those that Names names.
	Columns []string
	Names   *policy.Invalidates // what the values of a row name; wildcards stand for columns
	Routes  *policy.Table       // by which URLs are named
	Fed     []string            // the names of the routes whose copies carry the tag of the table
	Settle  time.Duration       // of the upstreams of these routes: for invalidation.Order
	// Upstream is whose routes these are; empty: those of all.
	Upstream   string
	Lossy      bool // a statement goes on where its change cannot be told
	Replicated bool // what logical replication brings counts, too
	Line       int  // in the configuration
}

// Identify sets the mapping's id: the table, and a digest of everything that decides what the values in a row are and what they render to.
func (m *Mapping) Identify() {
	h := sha256.New()
	list := func(values ...string) {
		for _, v := range append([]string{strconv.Itoa(len(values))}, values...) {
			_, _ = fmt.Fprintf(h, "%d:%s,", len(v), v) // a hash takes everything
		}
	}
	list("1", m.Schema, m.Table)
	for _, e := range m.On {
		list(string(e))
	}
	list(strconv.FormatBool(m.Replicated))
	list(m.Watched...)
	list(m.Columns...)
	for _, templates := range [][]policy.Template{m.Names.Keys, m.Names.Tags, m.Names.URLs, m.Names.Prefixes} {
		var texts []string
		for _, t := range templates {
			texts = append(texts, t.String())
		}
		list(texts...)
	}
	m.ID = m.Schema + "." + m.Table + "#" + hex.EncodeToString(h.Sum(nil)[:6])
}

// digest is what the names of the mapping's objects have in them.
func (m *Mapping) digest() string { return m.ID[strings.LastIndexByte(m.ID, '#')+1:] }

// Whole is the tag of the table. Whatever the mapping can render for a copy of its routes is covered by it: the configuration has each of
// these routes give the tag to every copy.
func (m *Mapping) Whole() policy.Member { return TableTag(m.ID) }

// TableTag is the tag of the table in a mapping's id, known or not.
func TableTag(id string) policy.Member { return policy.NewMember(policy.KindTag, "table:"+tableOf(id)) }

// tableOf is the schema and the table in a mapping's id.
func tableOf(id string) string {
	if i := strings.LastIndexByte(id, '#'); i >= 0 {
		return id[:i]
	}
	return id
}

// Members are what one tuple of column values names, in the order of Columns; nil is NULL. A key is named as copies are that
// lack the value; tags, URLs and prefixes with a NULL in them are not named, since no copy has them. There may be none. An error says
// that the tuple is none of this mapping, or names more than one change may: the caller then names Whole.
func (m *Mapping) Members(values []*string) ([]policy.Member, error) {
	if len(values) != len(m.Columns) {
		return nil, fmt.Errorf("render row of %s: it has %d values, and the mapping %d columns", m.ID, len(values), len(m.Columns))
	}
	members, err := m.Names.OfRow(m.Routes, func(column string) (string, bool) {
		i := slices.Index(m.Columns, column)
		if i < 0 || values[i] == nil {
			return "", false
		}
		return *values[i], true
	})
	if err != nil {
		return nil, fmt.Errorf("render row of %s: %w", m.ID, err)
	}
	return members, nil
}

// Resolve says what one row of the outbox names, by the mapping of its id among all: each member once, sorted. It is the tag of the table,
// and whole, where the row stands for the table, no mapping has the id, or the row does not fit the mapping.
func Resolve(all []*Mapping, id string, width int, tuples []*string) (members []policy.Member, whole bool) {
	i := slices.IndexFunc(all, func(m *Mapping) bool { return m.ID == id })
	if i < 0 || tuples == nil || width != len(all[i].Columns) || width > 0 && len(tuples)%width != 0 {
		return []policy.Member{TableTag(id)}, true
	}
	if width == 0 {
		tuples, width = []*string{nil}, 1
	}
	for tuple := range slices.Chunk(tuples, width) {
		tuple = tuple[:len(all[i].Columns)]
		named, err := all[i].Members(tuple)
		if err != nil {
			return []policy.Member{TableTag(id)}, true
		}
		members = append(members, named...)
	}
	slices.Sort(members)
	return slices.Compact(members), false
}
