// Package coding compresses bodies to be held, and gives them back. Nothing that an origin sends is ever unpacked: what is
// decoded was encoded here or, in a tier that instances share, by another instance, and in any case nothing becomes longer than
// the caller says.
package coding
