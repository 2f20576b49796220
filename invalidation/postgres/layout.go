package postgres

import "strings"

// layoutVersion is that of the objects that all mappings share. An older installation is brought up to it step by step, in the
// transaction of the install; a newer one is refused.
const layoutVersion = 2

const createSchema = `CREATE SCHEMA cacheproxy`

// layouts are the steps from each version to the next, beginning with nothing.
var layouts = [layoutVersion][]string{{
	createSchema,
	`CREATE TABLE cacheproxy.installation (version int NOT NULL, notify boolean NOT NULL)`,
	`INSERT INTO cacheproxy.installation (version, notify) VALUES (1, false)`,
	// Rows come and go: what is dead is cleared away by its number, however large the table has been. The key begins with the transaction
	// that has written the row, and there is no other index: see package feed for how rows are found past what is dead.
	`CREATE TABLE cacheproxy.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME cacheproxy.outbox_id_seq),
    mapping text NOT NULL,
    width int NOT NULL,
    tuples text[],
    cause text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (xid, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)`,
	`CREATE TABLE cacheproxy.marker (
    mapping text PRIMARY KEY,
    owed regclass NOT NULL,
    lossy boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)`,
	`CREATE SEQUENCE cacheproxy.consumed MINVALUE 0 START 0`,
	`CREATE SEQUENCE cacheproxy.lost`,
}, {
	`CREATE TABLE cacheproxy.covered (mapping text PRIMARY KEY, relations oid[] NOT NULL)`,
}}

// coveredSince is the version in which cacheproxy.covered came.
const coveredSince = 2

// shared are the relations that all mappings share, with what a consumer has to be able to do with each.
var shared = []struct{ name, privileges string }{
	{"installation", "SELECT"},
	{"outbox", "SELECT, DELETE"},
	{"outbox_id_seq", "SELECT"},
	{"marker", "SELECT, UPDATE"}, // UPDATE, to lock; it is never updated
	{"covered", "SELECT"},
	{"consumed", "SELECT, UPDATE"},
	{"lost", "SELECT"},
}

// sequences among them, whose privileges SQL names otherwise.
func isSequence(name string) bool {
	return strings.HasPrefix(name, "owed_") || name == "outbox_id_seq" || name == "consumed" || name == "lost"
}

// ours reports whether an object in schema cacheproxy is one that install may have made.
func ours(name string) bool {
	return strings.HasPrefix(name, "owed_") || strings.HasPrefix(name, "changed_") || name == "outbox_pkey" || name == "marker_pkey" || name == "covered_pkey" ||
		name == "installation" || name == "outbox" || name == "outbox_id_seq" || name == "marker" || name == "covered" || name == "consumed" || name == "lost"
}
