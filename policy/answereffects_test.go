package policy

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAnswerEffects(t *testing.T) {
	r := newRoute(t, "orders", "POST /orders/{kind}")
	r.Invalidates = &Invalidates{
		Keys: templates(t, "product:{response.product_id}", "kind:{kind}"), Tags: templates(t, "stock:{response.items.#.sku}", "of:{query.shop}"),
		Routes: []string{"lists"}, Otherwise: &Invalidates{Routes: []string{"product"}, Tags: templates(t, "all-{kind}")},
	}
	table := mustTable(t, r)
	u := target(t, "/orders/new?shop=1")
	m, _ := table.Match("POST", u, nil, netip.Addr{})
	before, fallback, err := r.Effects(&m, u, u.Query, nil, nil)
	if got := spell(before); !strings.HasSuffix(got, " kkind:new tof:1 rlists") || fallback || err != nil {
		t.Errorf("what is known beforehand: %s, %t, %v", got, fallback, err)
	}
	const other = "tall-new rproduct"
	for _, c := range []struct {
		name, answer, want string
		fallback           bool
	}{
		{"read", `{"product_id":7,"items":[{"sku":"a"},{"sku":"b/c"}]}`, "kproduct:7 tstock:a tstock:b%2Fc", false},
		{"several", `{"product_id":[7,8],"items":[{"sku":"a"}]}`, "kproduct:7 kproduct:8 tstock:a", false},
		{"none", ``, other, true},
		{"not JSON", `product_id=7`, other, true},
		{"one is not there", `{"product_id":7}`, "kproduct:7 " + other, true},
		{"no elements", `{"product_id":7,"items":[]}`, "kproduct:7 " + other, true},
		{"some are not there", `{"product_id":7,"items":[{},{"sku":"a"}]}`, "kproduct:7 tstock:a " + other, true},
		{"null", `{"product_id":null,"items":[{"sku":"a"}]}`, "tstock:a " + other, true},
		{"two readings", `{"product_id":7,"Product_id":8,"items":[{"sku":"a"}]}`, other, true},
		{"too many", `{"product_id":[` + strings.Join(numbered(257, "%d"), ",") + `],"items":[{"sku":"a"}]}`, "tstock:a " + other, true},
	} {
		got, fallback := r.Invalidates.AnswerEffects(r.Name, &m, u, u.Query, nil, []byte(c.answer))
		if spell(got) != c.want || fallback != c.fallback {
			t.Errorf("%s: %s, %t, want %s, %t", c.name, spell(got), fallback, c.want, c.fallback)
		}
	}
	r.Invalidates.Otherwise = nil // which a configuration does not have
	if got, _ := r.Invalidates.AnswerEffects(r.Name, &m, u, u.Query, nil, nil); spell(got) != "rorders" {
		t.Errorf("nobody has said what then: %s", spell(got))
	}
	if got, fallback := (*Invalidates)(nil).AnswerEffects("other", &m, u, "", nil, nil); len(got) > 0 || fallback {
		t.Errorf("a route that names nothing: %s", spell(got))
	}
}
