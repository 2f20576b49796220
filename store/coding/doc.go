// Package coding compresses bodies to be held, and unpacks them again. The package never unpacks bytes that an origin
// sends: every body that is decoded was encoded here, or by another instance that shares the tier. In any case the
// output never becomes longer than the caller says.
package coding
