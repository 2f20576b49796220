package feed

import (
	"encoding/json"
	"maps"

	"cacheproxy/invalidation/postgres"
	"cacheproxy/invalidation/postgres/pgoutput"

	"github.com/jackc/pgx/v5"
)

// milestone is what a consumer writes into the log, as a message of its own, before it advances the slot. See doc.go for what it proves.
type milestone struct {
	Through  string `json:"through"`  // where the slot is advanced to next: all before it is purged
	System   string `json:"system"`   // the cluster of databases,
	Timeline string `json:"timeline"` // and its history, which a promotion ends
	// Told are the mappings of which everything was told so far, by id, with what they have their rows in (postgres.Told.State).
	Told map[string]string `json:"told"`
}

// milestonePrefix begins the prefix of milestones, before the name of the slot.
const milestonePrefix = "cacheproxy:"

// readMilestone reads one of the slot. Whatever else is written into the log is none.
func readMilestone(n *pgoutput.Note, slot string) (m milestone, ok bool) {
	if n.Prefix != milestonePrefix+slot || !n.Transactional || len(n.Content) > changeBytes {
		return m, false
	}
	err := json.Unmarshal([]byte(n.Content), &m)
	return m, err == nil && m.Through != ""
}

// text is the content of the message.
func (m milestone) text() string {
	b, _ := json.Marshal(m) // texts have no other outcome
	return string(b)
}

// proves reports whether the slot on a server is where its last consumer has left it.
func (m milestone) proves(f slotFacts) bool {
	return m.Through == f.confirmed.String() && m.System == f.system && m.Timeline == f.timeline
}

// without is the milestone of the same place that says nothing of some mappings.
func (m milestone) without(gaps []*postgres.Mapping) milestone {
	m.Told = maps.Clone(m.Told)
	for _, of := range gaps {
		delete(m.Told, of.ID)
	}
	return m
}

// identifier is a name as SQL, and the plugin, have it.
func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }
