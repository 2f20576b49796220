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

// order is what one call asks to purge, in whatever way it was said, and read in full. Whether its caller may have it is not
// decided yet.
type order struct {
	keys, tags, routes []string
	urls, prefixes     []httpcache.Target // without a host: of every host
	hard               []httpcache.Target // URLs that go for good besides, whatever soft says
	all                bool
	soft               bool
	wait               invalidation.Wait
	// said tells which of soft and wait a part of the call has spoken of, so that another part cannot say otherwise.
	said struct{ soft, wait bool }
	// repeats has what cannot be confirmed applied here and queued: the callers that other caches have do not repeat a call.
	repeats bool
	// byHost says that the host of what it names was taken from where the call was sent, or from a pattern, so that the answer has to tell
	// which was understood.
	byHost bool
	form   form
}

// saySoft takes in what a part of the call says of soft.
func (o *order) saySoft(soft bool) error {
	if o.said.soft && o.soft != soft {
		return errors.New("one part of the call asks for a soft purge, and another for a hard one: say it once")
	}
	o.soft, o.said.soft = soft, true
	return nil
}

// sayWait takes in what a part of the call says of wait.
func (o *order) sayWait(word string) error {
	wait, err := readWait(word)
	if err == nil && o.said.wait && o.wait != wait {
		err = fmt.Errorf("one part of the call waits for %q, and another for %q: say it once", wordOf(o.wait), word)
	}
	o.wait, o.said.wait = wait, true
	return err
}

// told is what a receipt says of the names of an order.
type told struct {
	understood []string // the URLs and prefixes, where their host was not written out
	unseen     []string // those that no copy of this instance has carried lately
}

// mostTold is how many names a list of a receipt has.
const mostTold = 20

// tell is what the receipt of an order says of its names.
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

// carryOut purges what an order names, if its caller may. Every call that purges comes through here, and nothing reaches
// Options.Purge that bounds.permit has not seen: what a token is bound to is asked of the members, which are what becomes unusable,
// and not of the words of a call, which say it in a dozen ways.
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

// membersOf names everything in an order, or fails without having named anything. For a caller that is bound to sites, everything is
// everything of these, and every host each of these.
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

// kind is the one kind of thing that the order names, else "mixed".
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

// inFull is a target with its host, where it has one.
func inFull(t httpcache.Target) string {
	if t.Host == "" {
		return t.String()
	}
	return "http://" + t.Host + t.String()
}

// membersPerSite are the members of a target, for each site of a caller with bounds where it has no host.
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

// unseen are the names of an order of which no copy of this instance has carried any member lately, so that a misspelt one does not look
// like success. It is a hint: another instance may have such copies, and one name in a hundred is taken for seen though it is not.
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
