// Package valkey is the tier of copies on a Valkey server that several instances share.
package valkey
