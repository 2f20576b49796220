package postgres

import "strings"

// layoutVersion is the version of the objects that all mappings share. An install upgrades an older installation
// version by version, in its transaction, and refuses a newer one.
const layoutVersion = 2

const createSchema = `CREATE SCHEMA cacheproxy`

// layouts has, for each version, the statements that lead to the next version. Version 0 is an empty database.
var layouts = [layoutVersion][]string{{
	createSchema,
	`CREATE TABLE cacheproxy.installation (version int NOT NULL, notify boolean NOT NULL)`,
	`INSERT INTO cacheproxy.installation (version, notify) VALUES (1, false)`,
	// Rows come and go, so autovacuum starts after a number of dead rows, however large the table has been. The key
	// begins with the transaction that wrote the row, and the table has no other index: see package feed for how a look
	// finds rows without reading dead ones.
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

// coveredSince is the version that introduced cacheproxy.covered.
const coveredSince = 2

// shared lists the relations that all mappings share, with the privileges that a consumer needs on each.
var shared = []struct{ name, privileges string }{
	{"installation", "SELECT"},
	{"outbox", "SELECT, DELETE"},
	{"outbox_id_seq", "SELECT"},
	{"marker", "SELECT, UPDATE"}, // UPDATE only allows locking; no row is ever updated
	{"covered", "SELECT"},
	{"consumed", "SELECT, UPDATE"},
	{"lost", "SELECT"},
}

// isSequence reports whether an object is a sequence. GRANT and REVOKE need the kind of the object.
func isSequence(name string) bool {
	return strings.HasPrefix(name, "owed_") || name == "outbox_id_seq" || name == "consumed" || name == "lost"
}

// ours reports whether install may have made an object in schema cacheproxy.
func ours(name string) bool {
	return strings.HasPrefix(name, "owed_") || strings.HasPrefix(name, "changed_") || name == "outbox_pkey" || name == "marker_pkey" || name == "covered_pkey" ||
		name == "installation" || name == "outbox" || name == "outbox_id_seq" || name == "marker" || name == "covered" || name == "consumed" || name == "lost"
}
