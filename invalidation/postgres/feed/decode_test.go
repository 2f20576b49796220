package feed

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/pgoutput"
)

// TestDecodeChange says what a change of a row names, for whatever may be sent of it: names that are wholly known, or the table's.
func TestDecodeChange(t *testing.T) {
	key := []pgoutput.Column{{Name: "id", Key: true}, {Name: "category"}}
	full := []pgoutput.Column{{Name: "category", Key: true}, {Name: "id", Key: true}, {Name: "name", Key: true}}
	text := func(values ...string) (row []pgoutput.Value) {
		for _, v := range values {
			switch v {
			case "NULL":
				row = append(row, pgoutput.Value{Kind: pgoutput.Null})
			case "unchanged":
				row = append(row, pgoutput.Value{Kind: pgoutput.Unchanged})
			default:
				row = append(row, pgoutput.Value{Kind: 't', Text: v})
			}
		}
		return row
	}
	const whole = "whole"
	for _, c := range []struct {
		columns []pgoutput.Column
		kind    byte
		old     []pgoutput.Value
		new     []pgoutput.Value
		watched string
		want    string
	}{
		{key, 'I', nil, text("1", "7"), "", "tcategory:7 tproduct:1"},
		{key, 'I', nil, text("1", "NULL"), "", "tproduct:1"},
		{key, 'U', nil, text("1", "7"), "", whole}, // of which category it was is not sent
		{key, 'U', text("1", "NULL"), text("2", "7"), "", whole},
		{key, 'D', text("1", "NULL"), nil, "", whole},
		{key[:1], 'I', nil, text("1"), "", whole}, // the column is gone
		{full, 'U', text("7", "1", "a"), text("8", "1", "b"), "", "tcategory:7 tcategory:8 tproduct:1"},
		{full, 'U', text("7", "1", "a"), text("unchanged", "1", "b"), "", "tcategory:7 tproduct:1"},
		{full, 'U', nil, text("unchanged", "1", "b"), "", whole}, // it is what it was, and that is not sent
		{full, 'U', text("unchanged", "1", "b"), text("unchanged", "1", "b"), "", whole},
		{full, 'U', nil, text("7", "1", "b"), "", "tcategory:7 tproduct:1"},
		{full, 'D', text("7", "1", "a"), nil, "", "tcategory:7 tproduct:1"},
		{full, 'I', nil, text("7", strings.Repeat("1", longValue+1), "a"), "", whole},
		{full, 'U', text("7", "1", "a"), text("7", "1", "b"), "name", "tcategory:7 tproduct:1"},
		{full, 'U', text("7", "1", "a"), text("7", "1", "a"), "name", ""},
		{full, 'U', text("7", "1", "a"), text("7", "1", "unchanged"), "name", ""},
		{full, 'U', text("7", "1", "a"), text("8", "1", "a"), "name", "tcategory:7 tcategory:8 tproduct:1"},
		{full, 'U', text("7", "1", "a"), text("7", "1", "a"), "gone", "tcategory:7 tproduct:1"},
		{full, 'I', nil, text("7", "1"), "", whole}, // it does not fit
		{full, 'D', text("7"), nil, "", whole},
		{nil, 'I', nil, text("7", "1"), "", whole}, // nobody has said what the columns are
	} {
		m := product()
		if c.watched != "" {
			m.Watched = []string{c.watched}
			m.Identify()
		}
		f := New(Options{Config: Config{Mappings: []*postgres.Mapping{m}}, Logger: slog.New(slog.DiscardHandler), Pass: func(Kind) bool { return false }})
		s := &slot{session: &session{feed: f}, told: map[string]postgres.Told{m.ID: {Relations: []uint32{5}}}}
		d := s.newDecoder(f.config.Load())
		if d.open = new(transaction); c.columns != nil {
			d.relations[5] = &pgoutput.Relation{OID: 5, Schema: "public", Name: "product", Columns: c.columns}
		}
		d.change(&pgoutput.Change{Kind: c.kind, Relation: 5, Old: c.old, New: c.new})
		got := ""
		switch names := d.open.names; {
		case names == nil:
		case names.whole[m.ID]:
			got = whole
		default:
			var all []string
			for _, member := range slices.Sorted(maps.Keys(names.names[m.ID])) {
				all = append(all, string(member))
			}
			got = strings.Join(all, " ")
		}
		if got != c.want {
			t.Errorf("%c %v %v, watching %q: %q, want %q", c.kind, c.old, c.new, c.watched, got, c.want)
		}
	}
}

// TestDecodeEvents has a mapping hear of the events that it is about; a move between partitions is an update.
func TestDecodeEvents(t *testing.T) {
	m := product()
	m.On = []postgres.Event{postgres.Update}
	for _, moves := range []bool{false, true} {
		s := &slot{session: &session{}, told: map[string]postgres.Told{m.ID: {Moves: moves}}}
		d := s.newDecoder(&Config{Mappings: []*postgres.Mapping{m}})
		if !d.counts(m, 'U') || d.counts(m, 'I') != moves || d.counts(m, 'D') != moves {
			t.Errorf("moves %v: %v %v %v", moves, d.counts(m, 'I'), d.counts(m, 'U'), d.counts(m, 'D'))
		}
	}
}
