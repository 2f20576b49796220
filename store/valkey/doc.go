// Package valkey is the tier of copies on a Valkey server that several instances share, and the claims by which one
// instance fetches for all.
//
// The tier checks every value before use: a value that is damaged, of another version or of another storage key is a
// miss. The ledger says whether a copy may be used, as for any other copy. The tier only translates the copy's position
// in the shared log into a position of this process's log, and reports a miss where no translation exists. Ages are
// right even where the clocks of the instances differ.
//
// Keys are PREFIX:e:{HASH} for items, PREFIX:l:{HASH} for claims and PREFIX:w:{HASH} for the mark that somebody waits.
// All have an expiry. In a cluster the three keys of one storage key are in one slot. The end of a claim is published
// on PREFIX:landed. An ACL user needs, beside +cluster|shards and +cluster|slots in a cluster:
//
//	~PREFIX:* &PREFIX:landed +ping +multi +exec +pttl +getrange +get +set +del +pexpire +evalsha +eval +publish +subscribe +info +dbsize
package valkey
