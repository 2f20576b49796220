package upstream

const (
	// retryShare is how many retries each request earns.
	retryShare = 0.1
	// defaultRetries is how many there may be at once where nobody has said how many places there are.
	defaultRetries = 64
)

// retryBudget bounds retries to a share of the requests, so that a failing upstream does not get many more requests than a working one. It starts full,
// with one retry for each place: that many requests may be under way to an address that has just died, and none of them has to fail. The zero value
// allows no retries.
type retryBudget struct{ left, most float64 }

func newRetryBudget(places int) retryBudget {
	if places == 0 {
		places = defaultRetries
	}
	return retryBudget{left: float64(places), most: float64(places)}
}

func (b *retryBudget) earn() { b.left = min(b.left+retryShare, b.most) }

// has reports whether there is one retry.
func (b *retryBudget) has() bool { return b.left >= 1 }

// spend takes one retry, if there is one.
func (b *retryBudget) spend() bool {
	if !b.has() {
		return false
	}
	b.left--
	return true
}
