package feed

import (
	"fmt"
	"slices"
	"time"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/pgoutput"
)

// longValue bounds the bytes of a value in a name, as maxValue does for triggers.
const longValue = 1024

// bulkNames bounds the names of one mapping in a transaction. With more, the transaction stands for the table, as a
// statement with many rows does for triggers. So the memory of a page is bounded.
const bulkNames = 4096

// transaction has the changes of one transaction.
type transaction struct {
	xid     uint32
	at      time.Time // the time of the commit, by the server's clock
	end     pgoutput.LSN
	changes int
	names   *order   // nil: the transaction changed none of our tables
	untold  []string // the mappings of which an install wrote that changes went untold
}

// decoder turns messages into transactions.
type decoder struct {
	feed         *Feed
	config       *Config
	told         map[string]postgres.Told
	mappings     map[uint32]*postgres.Mapping // by relation
	relations    map[uint32]*pgoutput.Relation
	open         *transaction // begun and not ended
	transactions []*transaction
	milestones   map[string]milestone // by position of the slot: the last milestone of each
	foreign      map[uint32]bool
	strange      []uint32 // relations that are neither foreign nor of a mapping
}

func (s *slot) newDecoder(config *Config) *decoder {
	told := s.told
	d := &decoder{feed: s.feed, config: config, told: told, foreign: s.foreign, mappings: map[uint32]*postgres.Mapping{}, relations: map[uint32]*pgoutput.Relation{}, milestones: map[string]milestone{}}
	for _, m := range config.Mappings {
		for _, oid := range told[m.ID].Relations {
			d.mappings[oid] = m
		}
	}
	return d
}

// message decodes a message; cut: raw is only its beginning.
func (d *decoder) message(raw []byte, cut bool) error {
	if cut {
		if len(raw) > 0 && raw[0] == 'M' { // of others: milestones are shorter
			return nil
		}
		oid, ok := pgoutput.Of(raw)
		if !ok || d.open == nil {
			return fmt.Errorf("a message of kind %.1q is longer than %d bytes", raw, changeBytes)
		}
		d.whole(oid)
		return nil
	}
	message, err := pgoutput.Parse(raw)
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *pgoutput.Begin:
		d.open = &transaction{xid: m.XID, at: m.At}
		return nil
	case *pgoutput.Note:
		d.note(m)
		return nil
	case nil:
		return nil
	}
	if d.open == nil {
		return fmt.Errorf("a message of kind %.1q is outside of a transaction", raw)
	}
	switch m := message.(type) {
	case *pgoutput.Commit:
		d.open.end = m.End
		d.transactions, d.open = append(d.transactions, d.open), nil
	case *pgoutput.Relation:
		d.relations[m.OID] = m
		if d.mapping(m.OID) == nil && !d.foreign[m.OID] {
			d.strange = append(d.strange, m.OID)
		}
	case *pgoutput.Truncate:
		for _, oid := range m.Relations {
			if of := d.mapping(oid); of != nil && slices.Contains(of.On, postgres.Truncate) {
				d.whole(oid)
			}
		}
	case *pgoutput.Change:
		d.change(m)
	}
	return nil
}

// note decodes a message that somebody has written: a milestone, or that changes of a table went untold.
func (d *decoder) note(n *pgoutput.Note) {
	if m, ok := readMilestone(n, d.config.Slot); ok {
		d.milestones[m.Through] = m
	}
	if n.Prefix != postgres.UntoldPrefix+d.config.Slot || d.open == nil {
		return
	}
	for _, m := range d.config.Mappings {
		if m.Schema+"."+m.Table == n.Content {
			d.names()
			d.open.untold = append(d.open.untold, m.ID)
		}
	}
}

// mapping returns the mapping of a relation, by the catalog, or else by the relation's name: a table that was dropped
// had another oid.
func (d *decoder) mapping(oid uint32) *postgres.Mapping {
	if m := d.mappings[oid]; m != nil {
		return m
	}
	if r := d.relations[oid]; r != nil {
		i := slices.IndexFunc(d.config.Mappings, func(m *postgres.Mapping) bool { return m.Schema == r.Schema && m.Table == r.Name })
		if i >= 0 {
			return d.config.Mappings[i]
		}
	}
	return nil
}

// names returns the names of the open transaction, and counts a change.
func (d *decoder) names() *order {
	if d.open.names == nil {
		d.open.names = d.feed.newOrder()
	}
	d.open.changes++
	return d.open.names
}

func (d *decoder) whole(oid uint32) {
	if m := d.mapping(oid); m != nil {
		d.names().name(m.ID, true)
	}
}

// change adds the names in the change of a row, by its values before and after. If not all of these are known, the
// change names the whole of the mapping.
func (d *decoder) change(c *pgoutput.Change) {
	m, r := d.mapping(c.Relation), d.relations[c.Relation]
	if m == nil || !d.counts(m, c.Kind) {
		return
	}
	if r == nil || c.New != nil && len(c.New) != len(r.Columns) || c.Old != nil && len(c.Old) != len(r.Columns) {
		d.feed.count(malformed)
		d.feed.tell(malformed, "a row of the slot does not fit its table; everything that the mapping names is purged", "mapping", m.ID)
		d.whole(c.Relation)
		return
	}
	if c.Kind == 'U' && len(m.Watched) > 0 && !differs(m, r, c) {
		return
	}
	before, known := valuesOf(m, r, c, true)
	after, also := valuesOf(m, r, c, false)
	if !known || !also {
		d.whole(c.Relation)
		return
	}
	for _, values := range [][]*string{before, after} {
		if values != nil {
			members, err := m.Members(values)
			names := d.names()
			names.name(m.ID, err != nil || len(names.names[m.ID]) > bulkNames, members...)
		}
	}
}

// valuesOf returns the values of the mapping's columns, in the row before the change (old) or after it. nil: the row
// does not exist, or has the same values as the other row. ok reports whether all values are known.
func valuesOf(m *postgres.Mapping, r *pgoutput.Relation, c *pgoutput.Change, old bool) (values []*string, ok bool) {
	if c.Kind == 'I' && old || c.Kind == 'D' && !old {
		return nil, true
	}
	values = make([]*string, 0, len(m.Columns)) // never nil, even if names use no columns
	for _, column := range m.Columns {
		i := slices.IndexFunc(r.Columns, func(of pgoutput.Column) bool { return of.Name == column })
		switch {
		case i < 0:
			return nil, false
		case old && !r.Columns[i].Key:
			return nil, false // the message has only key columns of old rows
		case old && c.Old == nil:
			continue
		}
		row := c.New
		if old || row[i].Kind == pgoutput.Unchanged && c.Old != nil && r.Columns[i].Key {
			row = c.Old
		}
		switch v := row[i]; {
		case v.Kind == pgoutput.Unchanged, len(v.Text) > longValue:
			return nil, false
		case v.Kind == pgoutput.Null:
			values = append(values, nil)
		default:
			values = append(values, &v.Text)
		}
	}
	if old && c.Old == nil {
		return nil, true // the update has left all columns of the names unchanged
	}
	return values, true
}

// differs reports whether an update may have changed a column that counts.
func differs(m *postgres.Mapping, r *pgoutput.Relation, c *pgoutput.Change) bool {
	for _, column := range slices.Concat(m.Watched, m.Columns) {
		i := slices.IndexFunc(r.Columns, func(of pgoutput.Column) bool { return of.Name == column })
		switch {
		case i < 0:
			return true
		case c.New[i].Kind == pgoutput.Unchanged, r.Columns[i].Key && c.Old == nil:
		case !r.Columns[i].Key || c.Old[i] != c.New[i]:
			return true
		}
	}
	return false
}

// counts reports whether the mapping is about an event.
func (d *decoder) counts(m *postgres.Mapping, kind byte) bool {
	event := map[byte]postgres.Event{'I': postgres.Insert, 'U': postgres.Update, 'D': postgres.Delete}[kind]
	return slices.Contains(m.On, event) || d.told[m.ID].Moves && slices.Contains(m.On, postgres.Update)
}
