// Package fill fetches and stores what belongs to no client.
package fill
