package store

import "context"

// ClaimResult says how a fetch by another instance ended.
type ClaimResult uint8

const (
	// Vacant: the instance that had the claim has died or given the claim up. The waiter claims again. The zero value.
	Vacant ClaimResult = iota
	// Shared: a copy is in the tier that all instances share.
	Shared
	// Unshared: an answer came, but there is no copy of the answer to share. Each instance fetches for itself.
	Unshared
)

// Claims lets one of all instances that share a tier make a fetch for all. Implementations must be safe for concurrent
// use.
type Claims interface {
	// Claim asks for the right to fetch the answer for a storage key. On an error each instance fetches for itself. The
	// error comes at once where the tier is down.
	Claim(ctx context.Context, key string) (Claim, error)
}

// Claim is the right to fetch on behalf of all instances, or the news that another instance has the right. A held right
// expires by itself only where its process has died, or cannot reach the tier to renew the right.
type Claim interface {
	// Held reports whether the caller has the right. A holder must call Release exactly once; any other caller calls
	// Await. Before the fetch the holder looks into the tier once more: another instance may have stored a copy and
	// released the right since the holder's last look.
	Held() bool
	// Release gives the right back and tells the waiting instances how the fetch ended. Release blocks for as long as a
	// write to the tier may take.
	Release(how ClaimResult)
	// Await waits until the instance that has the right has released the right or has died. Await fails only when ctx
	// ends.
	Await(ctx context.Context) (ClaimResult, error)
}
