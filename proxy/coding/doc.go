// Package coding compresses bodies to be held, and gives them back. What it decodes it has encoded itself, so that nothing an
// origin sends is ever unpacked.
package coding
