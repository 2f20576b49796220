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

// Event is a kind of change of rows.
type Event string

// The events, each the word of SQL and of the configuration.
const (
	Insert   Event = "insert"
	Update   Event = "update"
	Delete   Event = "delete"
	Truncate Event = "truncate"
)

// Mapping describes which copies the changes of one table make unusable. A Mapping is immutable once ID is set.
type Mapping struct {
	ID            string // see Identify
	Schema, Table string
	On            []Event // in the order of the constants; at least one
	// Watched are columns. An UPDATE of a row counts if a column in Watched or in Columns has changed. Empty: every row
	// that an UPDATE touches counts, changed or not.
	Watched []string
	// Columns are the columns that Names uses. A row of the outbox carries their values, in this order.
	Columns []string
	Names   *policy.Invalidates // the names that the values of a row render to; wildcards stand for columns
	Routes  *policy.Table       // the routes by which URLs are named
	Fed     []string            // the names of the routes whose copies carry the tag of the table
	Settle  time.Duration       // the settle time of the upstreams of these routes, for invalidation.Order
	// Upstream names the upstream whose routes these are; empty: the routes of all upstreams.
	Upstream   string
	Lossy      bool // a statement goes on although its change can be neither written nor owed
	Replicated bool // changes that arrive by logical replication count too
	Line       int  // the line in the configuration
}

// Identify sets the mapping's id: the table, and a digest of everything that decides the values of a row and what the
// values render to.
func (m *Mapping) Identify() {
	h := sha256.New()
	list := func(values ...string) {
		for _, v := range append([]string{strconv.Itoa(len(values))}, values...) {
			_, _ = fmt.Fprintf(h, "%d:%s,", len(v), v) // a hash returns no error
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

// digest is the digest in the id. The names of the mapping's objects contain the digest.
func (m *Mapping) digest() string { return m.ID[strings.LastIndexByte(m.ID, '#')+1:] }

// Whole is the tag of the table. The configuration has each of the mapping's routes give the tag to every copy, so the
// tag covers everything that the mapping can render for these copies.
func (m *Mapping) Whole() policy.Member { return TableTag(m.ID) }

// TableTag returns the tag of the table in a mapping's id, whether or not a mapping has the id.
func TableTag(id string) policy.Member { return policy.NewMember(policy.KindTag, "table:"+tableOf(id)) }

// tableOf returns the schema and the table in a mapping's id.
func tableOf(id string) string {
	if i := strings.LastIndexByte(id, '#'); i >= 0 {
		return id[:i]
	}
	return id
}

// Members returns the names that one tuple of column values renders to. The values are in the order of Columns; nil is
// NULL. For a NULL, a key is rendered as for a copy that lacks the value. Tags, URLs and prefixes with a NULL are left
// out, since no copy has them. The result may be empty. An error says that the tuple does not fit the mapping, or
// renders to more names than one change may: the caller then uses Whole.
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

// Resolve returns the names in one row of the outbox, by the mapping in all that has the id: each member once, sorted.
// If the row stands for the table, if no mapping has the id, or if the row does not fit the mapping, Resolve returns
// the tag of the table, and whole is true.
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
