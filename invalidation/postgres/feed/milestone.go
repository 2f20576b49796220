package feed

import (
	"encoding/json"
	"maps"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/pgoutput"

	"github.com/jackc/pgx/v5"
)

// milestone is a message that a consumer writes into the log before it advances the slot. See doc.go for what a
// milestone proves.
type milestone struct {
	Through  string `json:"through"`  // the next position of the slot: all before it is purged
	System   string `json:"system"`   // the database cluster
	Timeline string `json:"timeline"` // the timeline of the cluster, which a promotion ends
	// Told has, by id, the mappings of which all changes were told so far, with their sets of relations
	// (postgres.Told.State).
	Told map[string]string `json:"told"`
}

// milestonePrefix, followed by the name of the slot, is the prefix of milestones.
const milestonePrefix = "cacheproxy:"

// readMilestone parses a milestone of the slot. ok is false for any other message.
func readMilestone(n *pgoutput.Note, slot string) (m milestone, ok bool) {
	if n.Prefix != milestonePrefix+slot || !n.Transactional || len(n.Content) > changeBytes {
		return m, false
	}
	err := json.Unmarshal([]byte(n.Content), &m)
	return m, err == nil && m.Through != ""
}

// text is the content of the message.
func (m milestone) text() string {
	b, _ := json.Marshal(m) // a struct of texts always encodes
	return string(b)
}

// proves reports whether the slot is where its last consumer left it.
func (m milestone) proves(f slotFacts) bool {
	return m.Through == f.confirmed.String() && m.System == f.system && m.Timeline == f.timeline
}

// without returns a milestone of the same place that does not name some mappings.
func (m milestone) without(gaps []*postgres.Mapping) milestone {
	m.Told = maps.Clone(m.Told)
	for _, of := range gaps {
		delete(m.Told, of.ID)
	}
	return m
}

// identifier quotes a name for SQL, and for the plugin.
func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }
