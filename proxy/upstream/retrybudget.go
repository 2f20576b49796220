package upstream

const (
	// retryShare is how many retries each request earns.
	retryShare = 0.1
	// defaultRetries is the size of the budget where the number of places is not configured.
	defaultRetries = 64
)

// retryBudget bounds retries to a share of the requests, so that an upstream that goes down does not get many times
// the requests of one that works. The budget starts full, with one retry for each place: as many requests may meet an
// address that has just died, and none of them has to fail. The zero value allows no retry.
type retryBudget struct{ left, most float64 }

func newRetryBudget(places int) retryBudget {
	if places == 0 {
		places = defaultRetries
	}
	return retryBudget{left: float64(places), most: float64(places)}
}

func (b *retryBudget) earn() { b.left = min(b.left+retryShare, b.most) }

// has reports whether the budget has a retry left.
func (b *retryBudget) has() bool { return b.left >= 1 }

// spend takes one retry, and reports whether the budget had one.
func (b *retryBudget) spend() bool {
	if !b.has() {
		return false
	}
	b.left--
	return true
}
