// Package valkey is the tier of copies on a Valkey server that several instances share, and the claims by which one of them
// fetches for all.
//
// Nothing that is read is trusted until it was checked: a value that is damaged, of another version or of another storage key
// is a miss. Whether a copy may be used is asked of the ledger, as for any other; the tier only says which position of this
// process's log the copy's position stands for, and has nothing to give where that cannot be said. Ages do not depend on the
// clocks of the instances agreeing.
//
// Keys are PREFIX:e:{HASH} for items, PREFIX:l:{HASH} for claims and PREFIX:w:{HASH} for the mark that somebody waits, all with
// an expiry; in a cluster the three of one storage key are in one slot. The end of a claim is published on PREFIX:landed. An ACL
// user needs, beside +cluster|shards and +cluster|slots in a cluster:
//
//	~PREFIX:* &PREFIX:landed +ping +multi +exec +pttl +getrange +get +set +del +pexpire +evalsha +eval +publish +subscribe +info +dbsize
package valkey
