package config

import "time"

// These keys change with a reload: a feed with another url connects anew, and rows are named as the routes in force
// name copies.
var postgresKeys = section{
	{name: "url", is: aText, required: `is missing; write url: "postgres://cacheproxy@127.0.0.1:5432/shop?sslmode=verify-full"`, means: "As libpq has it: several hosts, target_session_attrs, sslmode, passfile. It may be that of a pooler."},
	{name: "password", is: aSecret, means: "Here a secret needs no escapes, as it does in url."},
	{name: "source", is: aWordOf(sources), byDefault: "triggers", means: "What tells of changes. triggers: they write each into a table, in its transaction; logical: the write-ahead log does, by a replication slot, and no trigger."},
	{name: "slot", is: aText, byDefault: "cacheproxy", means: "With source: logical, the replication slot, which this fleet has for itself. Made by pg install."},
	{name: "publication", is: aText, byDefault: "cacheproxy", means: "With source: logical, the publication with the tables under feeds, and no others. Made by pg install."},
	{name: "poll", is: aDuration, byDefault: "100ms", positive: true, refuse: outside(5*time.Millisecond, time.Minute, "is less than 5ms, and would keep the database busy; write 100ms", "is more than 1m0s, for which every change would go unseen; write 100ms"), means: "How often the database is asked what has changed, by one of the instances; by the others once a second at most. 5ms to 1m."},
	{name: "max_feed_lag", is: aDuration, byDefault: "10s", positive: true, refuse: outside(5*time.Second, time.Hour, "is less than 5s, within which instances take over from each other; write 10s", "is more than 1h0m0s; write 10s, or a longer feed_down_ttl"), means: "For how long changes may go unseen before the feed counts as blind. 5s to 1h, and more than poll."},
	{name: "feed_down_ttl", is: aDuration, byDefault: "30s", positive: true, means: "How long copies that the tables feed are fresh while the feed is blind, however long they would be else. Then the origin confirms them; where it fails, they stand in as long as they would be fresh else."},
	{name: "notify", is: aFlag, byDefault: "false", means: "Changes also send NOTIFY, so that they are heard of at once. Not for databases with many writes: commits with it wait for each other."},
	{name: "on_error", is: aWordOf(onErrors), byDefault: "fail_write", means: "What becomes of a statement whose change cannot be told. fail_write: it fails; lose: it goes on, counted, and once that is seen what the feed names is confirmed by the API before it is used. Known to the database from pg install on."},
	{name: "feeds", is: sections(feedKeys), means: "Tables whose changes make copies unusable. Each is installed in the database with cacheproxy pg install. One that comes or goes begins the copies of its upstream, or of all, anew. Where postgres was there for archives alone, a reload that brings the first is refused: restart."},
}

var feedKeys = section{
	{name: "table", is: aText, required: "is missing; write table: public.product", means: "schema.table, or a table in public; letter by letter as the database has it, and in double quotes where there are dots in it. With its partitions, and the tables that inherit from it."},
	{name: "on", is: aListOf(aWordOf(events)), byDefault: "[insert, update, delete, truncate]", means: "Which changes count."},
	{name: "columns", is: aList, means: "An update counts for the rows in which one of these has changed, or one that a name has in it. Default: for all rows that it touches. With source: triggers the table needs a primary key."},
	{name: "keys", is: aList, means: "What is purged: templates as on routes, with {column} for the text of a column, before and after the change."},
	{name: "tags", is: aList, means: "The same."},
	{name: "urls", is: aListOf(aURLTemplate), means: "The same."},
	{name: "prefixes", is: aListOf(aPrefix), means: "The same."},
	{name: "upstream", is: aText, derived: "all", means: "Whose copies are fed by the table: they carry the tag table:schema.table, which is purged where rows are too many, or not known one by one."},
	{name: "replicated", is: aFlag, byDefault: "false", means: "Changes that logical replication brings count as well, each row by itself."},
}
