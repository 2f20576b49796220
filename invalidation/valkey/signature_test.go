package valkey

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/invalidation/fleet"
	"cacheproxy/policy"
	"cacheproxy/test/servers"

	"github.com/valkey-io/valkey-go"
)

const secretA, secretB = "a secret of at least 32 bytes, the first", "a secret of at least 32 bytes, another one"

func signer(require bool, secrets ...string) *Signer {
	return NewSigner(SignerOptions{Prefix: "test", Secrets: secrets, Require: require, Log: slog.New(slog.DiscardHandler)})
}

func signed(require bool, secrets ...string) func(*Options) {
	return func(o *Options) { o.Signer = signer(require, secrets...) }
}

// A signature is for one content of one sort, in one fleet, one log and one entry of it, by the first secret; and any secret
// verifies.
func TestSignature(t *testing.T) {
	t.Parallel()
	s, value := signer(true, secretA, secretB), []byte("a copy with its storage key")
	signature := s.SignCopy(nil, value)
	if len(signature) != SignatureSize {
		t.Fatalf("%d bytes", len(signature))
	}
	for name, right := range map[string]*Signer{"the same": s, "one of two": signer(true, secretB, secretA), "alone": signer(false, secretA)} {
		if err := right.VerifyCopy(signature, value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := NewSigner(SignerOptions{Prefix: "test2", Secrets: []string{secretA}, Log: slog.New(slog.DiscardHandler)})
	for name, err := range map[string]error{
		"another secret": signer(false, secretB).VerifyCopy(signature, value), "another fleet": other.VerifyCopy(signature, value),
		"shorter": s.VerifyCopy(signature, value[1:]), "longer": s.VerifyCopy(signature, append([]byte("x"), value...)),
		"cut": signer(false, secretA).VerifyCopy(signature[:15], value), "none": s.VerifyCopy(nil, value),
		"of an entry": s.VerifyCopy([]byte(s.signRecord(fleet.History{}, 0, value)), value),
	} {
		if !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for bit := range 8 * len(value) {
		value[bit/8] ^= 1 << (bit % 8)
		if s.VerifyCopy(signature, value) == nil {
			t.Errorf("bit %d is not covered", bit)
		}
		value[bit/8] ^= 1 << (bit % 8)
	}
	if err := signer(false, secretA).VerifyCopy(nil, value); err != nil {
		t.Errorf("none, where none need be: %v", err)
	}
	if none := NewSigner(SignerOptions{}); none != nil || len(none.SignCopy(nil, value)) > 0 || none.VerifyCopy(nil, value) != nil {
		t.Error("without secrets there is a signer")
	}

	r := invalidation.Record{Operation: invalidation.Invalidate, IDs: invalidation.IDsOf([]policy.Member{key("k")})}
	record, h := r.Append(nil), fleet.History{7}
	signature5 := s.signRecord(h, 5, record)
	for name, c := range map[string]struct {
		history   fleet.History
		nonce     uint64
		record    []byte
		signature string
		right     bool
	}{
		"as it was":        {h, 5, record, signature5, true},
		"of another log":   {fleet.History{8}, 5, record, signature5, false},
		"of another entry": {h, 6, record, signature5, false},
		"another record":   {h, 5, (&invalidation.Record{Operation: invalidation.Announce}).Append(nil), signature5, false},
		"not signed":       {h, 5, record, "", false},
		"of a copy":        {h, 5, record, string(s.SignCopy(nil, record)), false},
	} {
		got, err := s.entry(c.history, 3, c.nonce, c.record, c.signature)
		if right := len(got.IDs) == 1 && got.IDs[0] == r.IDs[0]; right != c.right || err != nil || got.Seq != 3 || got.Nonce != c.nonce {
			t.Errorf("entry %s: %+v, %v", name, got, err)
		}
		if !c.right && !(len(got.IDs) == 1 && got.IDs[0] == invalidation.IDOf(policy.All) && got.Operation == invalidation.Invalidate) {
			t.Errorf("entry %s does not invalidate everything: %+v", name, got)
		}
		if got := s.kept(c.history, string(c.record), keptSignature(c.nonce, c.signature)); got != c.right {
			t.Errorf("kept entry %s: %v", name, got)
		}
	}
	if (*Signer)(nil).kept(h, "", "") != true || signer(false, secretA).kept(h, string(record), "of an earlier record") != true {
		t.Error("what is kept is verified where that is not asked for")
	}
}

// Failures are told at most once a minute, and counted each.
func TestSignatureFailuresAreTold(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	var counted int
	s := NewSigner(SignerOptions{Prefix: "test", Secrets: []string{secretA}, Log: slog.New(slog.NewTextHandler(&lines, nil)), Observe: func(op string, _ time.Duration, err error) {
		if op == "verify" && errors.Is(err, ErrSignature) {
			counted++
		}
	}})
	for range 100 {
		_ = s.VerifyCopy(make([]byte, SignatureSize), nil)
	}
	if counted != 100 || strings.Count(lines.String(), "\n") != 1 {
		t.Errorf("%d counted; told: %s", counted, &lines)
	}
}

// Whoever can write to the server without a secret neither has an entry of his own heeded, nor an altered one, nor one of another
// log: each makes all copies unusable, and none sets a mode.
func TestForgedEntries(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a := join(t, s, "a", signed(true, secretA))
	purge(t, a, key("k"))
	client, _ := a.options.Connection.Client()
	notice := invalidation.Record{Operation: invalidation.Announce, Notice: invalidation.Notice{Subject: "mode/x", Body: []byte("off")}}
	empty := invalidation.Record{Operation: invalidation.Invalidate}
	last, err := client.Do(t.Context(), client.B().Xrevrange().Key("{test}:log").End("+").Start("-").Count(1).Build()).AsXRange()
	if err != nil || len(last) != 1 || len(last[0].FieldValues["m"]) != SignatureSize {
		t.Fatalf("last entry: %v, %v", last, err)
	}
	for name, forged := range map[string]struct{ record, signature string }{
		"unsigned notice": {string(notice.Append(nil)), ""}, "unsigned nothing": {string(empty.Append(nil)), ""},
		"by another secret":          {string(notice.Append(nil)), signer(true, secretB).signRecord(a.follower.View().History, 1, notice.Append(nil))},
		"signature of another entry": {string(notice.Append(nil)), last[0].FieldValues["m"]},
		"another nonce":              {last[0].FieldValues["e"], last[0].FieldValues["m"]},
	} {
		token := a.ledger.Token()
		seq := itoa(a.follower.Applied() + 1)
		// In one step, as instances write: a stream that is ahead of the position is a damaged log.
		const forge = "redis.call('XADD', KEYS[1], ARGV[1] .. '-0', 'n', '1', 'e', ARGV[2], 'm', ARGV[3]); return redis.call('HSET', KEYS[2], 's', ARGV[1])"
		command := client.B().Eval().Script(forge).Numkeys(2).Key("{test}:log", "{test}:meta").Arg(seq, forged.record, forged.signature).Build()
		if err := client.Do(t.Context(), command).Error(); err != nil {
			t.Fatal(err)
		}
		a.await(t, "entry "+name, func() bool { return itoa(a.follower.Applied()) == seq })
		if a.admits(token, key("whatever")) {
			t.Errorf("%s: copies from before are used", name)
		}
	}
	if told := a.told(); len(told) > 0 {
		t.Errorf("notices were heeded: %+v", told)
	}
	// And what an instance writes is heeded as before.
	token := a.ledger.Token()
	purge(t, a, key("k"))
	if a.admits(token, key("k")) || !a.admits(token, key("other")) {
		t.Error("a signed entry is not heeded as it was written")
	}
}

// Fences and notices that are kept beside the log are heeded by who joins, if an instance wrote them as they are.
func TestForgedKeptRecords(t *testing.T) {
	t.Parallel()
	s := serverAt(servers.Valkey(t, servers.ValkeyOptions{}).Address())
	a := join(t, s, "a", signed(true, secretA))
	client, _ := a.options.Connection.Client()
	do := func(command valkey.Completed) valkey.ValkeyResult {
		t.Helper()
		r := client.Do(t.Context(), command)
		if r.Error() != nil {
			t.Fatal(r.Error())
		}
		return r
	}
	f, err := a.Begin(t.Context(), []policy.Member{key("fenced")})
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"kept", "altered", "withdrawn"} {
		if _, err := a.Announce(t.Context(), invalidation.Notice{Subject: subject, Body: []byte("right")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Announce(t.Context(), invalidation.Notice{Subject: "withdrawn"}); err != nil {
		t.Fatal(err)
	}
	altered := invalidation.Record{Operation: invalidation.Announce, Notice: invalidation.Notice{Subject: "altered", Body: []byte("wrong")}}
	do(client.B().Hset().Key("{test}:notices").FieldValue().FieldValue("altered", string(altered.Append(nil))).Build())

	b := join(t, s, "b", signed(true, secretA))
	told := b.told()
	if len(told) != 2 || told[0].Subject != "kept" || string(told[0].Body) != "right" || told[1].Subject != "altered" || string(told[1].Body) != fleet.Unreadable {
		t.Errorf("notices told of: %+v", told)
	}
	if b.admits(b.ledger.Token(), key("fenced")) || !b.admits(b.ledger.Token(), key("other")) {
		t.Error("the fence is not heeded as it was written")
	}
	if floor := b.State().Floor; floor != 0 {
		t.Errorf("copies below %d are given up", floor)
	}

	fences, err := do(client.B().Hgetall().Key("{test}:fences").Build()).AsStrMap()
	if err != nil || len(fences) != 1 {
		t.Fatal(fences, err)
	}
	for number := range fences { // one that stands around nothing
		less := invalidation.Record{Operation: invalidation.BeginFence, Life: time.Minute}
		do(client.B().Hset().Key("{test}:fences").FieldValue().FieldValue(number, string(less.Append(nil))).Build())
	}
	c := join(t, s, "c", signed(true, secretA))
	if c.ledger.Admits(invalidation.Token{}, nil) {
		t.Error("the fence was altered, and copies from before are used")
	}
	if _, err := a.End(t.Context(), f, invalidation.Order{}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Announce(t.Context(), invalidation.Notice{Subject: "kept"}); err != nil {
		t.Fatal(err)
	}
	if left, err := do(client.B().Hkeys().Key("{test}:signed").Build()).AsStrSlice(); err != nil || len(left) != 1 || left[0] != "{test}:notices altered" {
		t.Errorf("signatures left: %q, %v", left, err)
	}
}

// While secrets come to the instances one by one, and while they change, nothing is lost and nothing more than named is invalidated.
func TestSecretsOneByOne(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s Server) {
		instances := []*member{
			join(t, s, "without"), join(t, s, "first", signed(false, secretA)), join(t, s, "both", signed(false, secretA, secretB)),
			join(t, s, "changed", signed(false, secretB, secretA)),
		}
		without, both := instances[0], instances[2]
		meet := func(writers, readers []*member) {
			t.Helper()
			for _, w := range writers {
				var tokens []invalidation.Token
				for _, r := range readers {
					tokens = append(tokens, r.ledger.Token())
				}
				f, err := w.Begin(t.Context(), []policy.Member{key("k")})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.End(t.Context(), f, invalidation.Order{}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Announce(t.Context(), invalidation.Notice{Subject: "by " + w.name, Body: []byte("x")}); err != nil {
					t.Fatal(err)
				}
				for i, r := range readers {
					r.await(t, "notice by "+w.name, func() bool {
						told := r.told()
						return len(told) > 0 && told[len(told)-1].Subject == "by "+w.name
					})
					if r.admits(tokens[i], key("k")) || !r.admits(tokens[i], key("other")) {
						t.Errorf("%s does not heed %s as it wrote", r.name, w.name)
					}
				}
			}
		}
		meet([]*member{without, instances[1], both}, []*member{without, instances[1], both, instances[3]})
		meet([]*member{instances[3]}, []*member{without, both, instances[3]})
		late := join(t, s, "late", signed(false, secretB))
		if told := late.told(); len(told) != 4 {
			t.Errorf("who joins heeds %+v", told)
		}
	})
}

// An instance vouches for the log where it has signed what its heartbeat says, as it says it and for the log that is followed. All else
// of a heartbeat is heeded in any case: whoever may hold a lease is waited for.
func TestForgedHeartbeats(t *testing.T) {
	h, other := fleet.History{7}, fleet.History{8}
	said := fleet.Peer{Name: "a", Beat: 5, Applied: 6, Lease: time.Second, Term: 9, Held: time.Minute}
	right := signer(false, secretA).signHeartbeat(h, said)
	for name, c := range map[string]struct {
		alter     func(*fleet.Peer)
		history   fleet.History
		signature string
		vouches   bool
	}{
		"as it was":         {func(*fleet.Peer) {}, h, right, true},
		"not signed":        {func(*fleet.Peer) {}, h, "", false},
		"by another secret": {func(*fleet.Peer) {}, h, signer(true, secretB).signHeartbeat(h, said), false},
		"in another log":    {func(*fleet.Peer) {}, other, right, false},
		"of another":        {func(p *fleet.Peer) { p.Name = "b" }, h, right, false},
		"another beat":      {func(p *fleet.Peer) { p.Beat++ }, h, right, false},
		"another position":  {func(p *fleet.Peer) { p.Applied++ }, h, right, false},
		"owing":             {func(p *fleet.Peer) { p.Owes = true }, h, right, false},
		"another lease":     {func(p *fleet.Peer) { p.Lease *= 2 }, h, right, false},
		"another term":      {func(p *fleet.Peer) { p.Term++ }, h, right, false},
		"held for longer":   {func(p *fleet.Peer) { p.Held *= 2 }, h, right, false},
	} {
		p := said
		c.alter(&p)
		want := p
		if !c.vouches {
			want.Held = 0
		}
		live := []fleet.Peer{p}
		signer(true, secretA).heartbeats(c.history, live, map[string]string{p.Name: c.signature})
		if live[0] != want {
			t.Errorf("%s: %+v, want %+v", name, live[0], want)
		}
		live[0] = p
		for _, s := range []*Signer{nil, signer(false, secretA)} {
			if s.heartbeats(c.history, live, nil); live[0] != p {
				t.Errorf("%s, where no signature is required: %+v", name, live[0])
			}
		}
	}
	eachServer(t, func(t *testing.T, s Server) {
		a, plain := join(t, s, "a", signed(false, secretA)), join(t, s, "plain")
		for name, c := range map[string]struct {
			reader  *member
			vouches []string
		}{
			"the same":  {join(t, s, "same", signed(true, secretA)), []string{"a"}},
			"another":   {join(t, s, "another", signed(true, secretB)), nil},
			"all taken": {join(t, s, "taker", signed(false, secretB)), []string{"a", "plain"}},
		} {
			for _, p := range []*member{a, plain} {
				held := func(is bool) func() bool {
					return func() bool {
						for _, seen := range c.reader.follower.View().Peers {
							if seen.Name == p.name {
								return (seen.Held > 0) == is
							}
						}
						return false
					}
				}
				c.reader.await(t, name+": word of "+p.name, held(slices.Contains(c.vouches, p.name)))
			}
			purge(t, c.reader, key("k"))
		}
	})
}
