package store

import "context"

// ClaimResult says how a fetch under a claim has ended.
type ClaimResult uint8

const (
	// Vacant: the holder has died, or given up its claim. The right can be claimed again. The zero value.
	Vacant ClaimResult = iota
	// Shared: a copy is in the tier that all instances share.
	Shared
	// Unshared: the answer is not in the shared tier. Each instance fetches for itself.
	Unshared
)

// Claims lets one of all instances that share a tier fetch what none of them has. It must be safe for concurrent use.
type Claims interface {
	// Claim asks for the right to fetch what belongs under a storage key. On an error, which comes at once where the tier is
	// down, each instance fetches for itself.
	Claim(ctx context.Context, key string) (Claim, error)
}

// Claim is the right to fetch on behalf of all instances, or word that another one has it. A right that is held runs out by
// itself only when its process has died.
type Claim interface {
	// Held reports whether the caller has the right. If so, it must call Release once; otherwise it may call Await. Before it fetches, it must
	// look into the tier again: the right may be free because a copy has come since it last looked.
	Held() bool
	// Release gives the right back and tells those who wait how it ended. It blocks for as long as a write to the tier may take.
	Release(how ClaimResult)
	// Await waits until the instance that has the right has released it, or has died. It fails only with ctx.
	Await(ctx context.Context) (ClaimResult, error)
}
