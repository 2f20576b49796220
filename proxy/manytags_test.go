package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"cacheproxy/policy"
)

// A page with as many tags as a shop's category has is stored, shared, and purged by each of them; one with more is not stored.
func TestManyTags(t *testing.T) {
	const most = 4096
	page := func(n int) func(http.Header, *http.Request) int {
		tags := make([]string, n)
		for i := range tags {
			tags[i] = fmt.Sprint("cat_p_", i)
		}
		return with("Cache-Control", "max-age=60", "X-Magento-Tags", strings.Join(tags, ","))
	}
	inBubble(t, counting(page(most)), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		asked := 1
		for _, i := range []int{0, 1, 17, 255, 256, 257, 2048, most - 1} {
			b.do("GET", "/category").want(t, "first", 200, fmt.Sprint(asked), "stored")
			for range 3 {
				b.invalidate(policy.NewMember(policy.KindTag, fmt.Sprint("cat_p_", most+i)))
				b.do("GET", "/category").want(t, "after the purge of another tag", 200, fmt.Sprint(asked), "hit")
			}
			b.invalidate(policy.NewMember(policy.KindTag, fmt.Sprint("cat_p_", i)))
			asked++
		}
		b.do("GET", "/category").want(t, "last", 200, fmt.Sprint(asked), "stored")
	})
	inBubble(t, counting(page(most+1)), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/category").want(t, "too many", 200, "1", "detail=too-many-members")
		b.do("GET", "/category").want(t, "too many", 200, "2", "detail=too-many-members")
	})
}
