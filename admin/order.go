package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// order is what one call asks to purge, read in full. The form of the call does not matter any more. carryOut decides
// whether the caller may purge it.
type order struct {
	keys, tags, routes []string
	urls, prefixes     []httpcache.Target // a target without a host stands for every host
	hard               []httpcache.Target // further URLs, purged for good whatever soft says
	all                bool
	soft               bool
	wait               invalidation.Wait
	// said records whether a part of the call has set soft or wait. Another part may not contradict.
	said struct{ soft, wait bool }
	// repeats has a purge that cannot be confirmed applied on this instance and queued: clients of other caches do not
	// repeat a call.
	repeats bool
	// byHost: the host of the targets comes from Host or from a pattern. The answer then lists the targets as
	// understood.
	byHost bool
	form   form
}

// saySoft sets soft from one part of the call.
func (o *order) saySoft(soft bool) error {
	if o.said.soft && o.soft != soft {
		return errors.New("one part of the call asks for a soft purge, and another for a hard one: say it once")
	}
	o.soft, o.said.soft = soft, true
	return nil
}

// sayWait sets wait from one part of the call.
func (o *order) sayWait(word string) error {
	wait, err := readWait(word)
	if err == nil && o.said.wait && o.wait != wait {
		err = fmt.Errorf("one part of the call waits for %q, and another for %q: say it once", wordOf(o.wait), word)
	}
	o.wait, o.said.wait = wait, true
	return err
}

// told is what a receipt tells of the names of an order.
type told struct {
	understood []string // URLs and prefixes, for orders that did not write out their host
	unseen     []string // names that no copy of this instance has carried lately
}

// mostTold bounds the names in a list of a receipt.
const mostTold = 20

// tell makes what the receipt tells of the order's names.
func (h *handler) tell(o order, b *bounds) told {
	t := told{unseen: h.unseen(o, b)}
	if !o.byHost {
		return t
	}
	for _, named := range [...]struct {
		kind    policy.MemberKind
		targets []httpcache.Target
	}{{policy.KindURL, o.urls}, {policy.KindPrefix, o.prefixes}} {
		for _, target := range named.targets {
			for _, target := range b.perSite(target) {
				name := named.kind.String() + ":" + inFull(target)
				if target.Host == "" {
					name += " of every host"
				}
				if len(t.understood) < mostTold {
					t.understood = append(t.understood, shorten(name))
				}
			}
		}
	}
	return t
}

// carryOut purges what an order names, if the caller may. Every purging call passes through here, and no member reaches
// Options.Purge that permit has not checked. permit checks members, which decide what becomes unusable, rather than the
// words of a call, which have a dozen forms for one meaning.
func (h *handler) carryOut(w http.ResponseWriter, r *request, o order) error {
	members, err := h.membersOf(o, r.caller.bounds)
	if err != nil {
		return badRequest(err)
	}
	hard, err := h.membersOf(order{urls: o.hard}, r.caller.bounds)
	if err != nil {
		return badRequest(err)
	}
	if err := r.caller.permit(append(slices.Clone(members), hard...)); err != nil {
		return err
	}
	if !o.soft {
		members, hard = append(members, hard...), nil
	}
	return h.purge(w, r, o, members, hard)
}

// membersOf returns the members for everything in an order, or an error. For a caller with sites, everything means
// everything of these sites, and every host means each of the sites.
func (h *handler) membersOf(o order, b *bounds) ([]policy.Member, error) {
	if err := h.checkRoutes(o.routes); err != nil {
		return nil, err
	}
	var members []policy.Member
	switch {
	case o.all && b != nil:
		o.prefixes = append(slices.Clone(o.prefixes), httpcache.Target{Path: "/"})
	case o.all:
		members = append(members, policy.All)
	}
	for _, named := range [...]struct {
		kind   policy.MemberKind
		values []string
	}{{policy.KindKey, o.keys}, {policy.KindTag, o.tags}, {policy.KindRoute, o.routes}} {
		for _, value := range named.values {
			if err := checkCarried(named.kind, value); err != nil {
				return nil, err
			}
			members = append(members, policy.NewMember(named.kind, value))
		}
	}
	for _, rooted := range [...]struct {
		targets  []httpcache.Target
		isPrefix bool
		members  func(httpcache.Target) []policy.Member
	}{{o.urls, false, h.urlMembers}, {o.prefixes, true, prefixMembers}} {
		for _, target := range rooted.targets {
			if err := checkLiteral(target, rooted.isPrefix); err != nil {
				return nil, err
			}
			members = append(members, membersPerSite(b, target, rooted.members)...)
		}
	}
	if b != nil {
		members = withoutOthers(members)
	}
	return members, nil
}

// kind is the kind of everything that the order names, or "mixed" for several kinds.
func (o *order) kind() string {
	if o.all {
		return policy.KindAll.String()
	}
	kind := ""
	for _, named := range [...]struct {
		count int
		kind  policy.MemberKind
	}{
		{len(o.keys), policy.KindKey}, {len(o.tags), policy.KindTag}, {len(o.urls), policy.KindURL}, {len(o.prefixes), policy.KindPrefix},
		{len(o.routes), policy.KindRoute},
	} {
		switch {
		case named.count == 0:
		case kind != "":
			return "mixed"
		default:
			kind = named.kind.String()
		}
	}
	return kind
}

// inFull is a target with its host, if any.
func inFull(t httpcache.Target) string {
	if t.Host == "" {
		return t.String()
	}
	return "http://" + t.Host + t.String()
}

// membersPerSite returns the members of a target. For a caller with bounds, a target without a host is named once for
// each site.
func membersPerSite(b *bounds, t httpcache.Target, name func(httpcache.Target) []policy.Member) (members []policy.Member) {
	for _, t := range b.perSite(t) {
		members = append(members, name(t)...)
	}
	return members
}

func prefixMembers(t httpcache.Target) (members []policy.Member) {
	for _, t := range aliases(t) {
		members = append(members, policy.PrefixMembers(t.Host, t.Path)...)
	}
	return members
}

// unseen returns the names of an order whose members no copy of this instance has carried lately, so that a misspelt
// name does not look like success. The list is a hint: another instance may have such copies, and one unused name in a
// hundred counts as seen.
func (h *handler) unseen(o order, b *bounds) (names []string) {
	if h.Seen == nil || o.all {
		return nil
	}
	add := func(name string, members ...policy.Member) {
		if len(names) < mostTold && !slices.ContainsFunc(members, h.Seen) {
			names = append(names, shorten(name))
		}
	}
	for _, named := range [...]struct {
		kind   policy.MemberKind
		values []string
	}{{policy.KindKey, o.keys}, {policy.KindTag, o.tags}} {
		for _, value := range named.values {
			add(named.kind.String()+":"+value, policy.NewMember(named.kind, value))
		}
	}
	for _, target := range o.urls {
		add(policy.KindURL.String()+":"+inFull(target), membersPerSite(b, target, h.urlMembers)...)
	}
	for _, target := range o.prefixes {
		add(policy.KindPrefix.String()+":"+inFull(target), membersPerSite(b, target, prefixMembers)...)
	}
	return names
}
