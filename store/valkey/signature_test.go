package valkey

import (
	"encoding/binary"
	"log/slog"
	"testing"

	"cacheproxy/invalidation/valkey"
	"cacheproxy/store"

	"github.com/cespare/xxhash/v2"
)

const secretA, secretB = "a secret of at least 32 bytes, the first", "a secret of at least 32 bytes, another one"

// signing gives a tier a signer, which counts what it refuses.
func signing(o *Options, refused *tally, require bool, secrets ...string) {
	o.Signer = valkey.NewSigner(valkey.SignerOptions{Prefix: prefix, Secrets: secrets, Require: require, Log: slog.New(slog.DiscardHandler), Observe: refused.note})
}

// What was not signed by an instance as it is there is a miss and gives way to what is right, whoever has written it.
func TestForgedOnTheServerIsAMiss(t *testing.T) {
	_, s := alone(t, "")
	c, refused := raw(t, s), &tally{}
	signed := options(connect(t, s), following(9))
	signing(&signed, refused, true, secretA)
	a := tier(t, signed)
	plain := tier(t, options(connect(t, s), following(9)))
	otherwise := options(connect(t, s), following(9))
	signing(&otherwise, &tally{}, true, secretB)
	stranger := tier(t, otherwise)
	at := a.key('e', "key")
	forge := func(change func(v []byte) []byte) {
		t.Helper()
		v, err := c.Do(t.Context(), c.B().Get().Key(at).Build()).AsBytes()
		if err != nil {
			t.Fatal(err)
		}
		v = change(v[:len(v)-checksumed])
		v = binary.BigEndian.AppendUint64(v, xxhash.Sum64(v))
		if err := c.Do(t.Context(), c.B().Set().Key(at).Value(string(v)).PxMilliseconds(60000).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	for about, attack := range map[string]func(){
		"another body":     func() { forge(func(v []byte) []byte { v[len(v)-valkey.SignatureSize-1] ^= 1; return v }) },
		"a later position": func() { forge(func(v []byte) []byte { v[seqAt+7]++; return v }) },
		"another nonce":    func() { forge(func(v []byte) []byte { v[nonceAt]++; return v }) },
		"another history":  func() { forge(func(v []byte) []byte { v[historyAt]++; return v }) },
		"other flags":      func() { forge(func(v []byte) []byte { v[historyAt-1] ^= flagPacked; return v }) },
		"no signature": func() {
			forge(func(v []byte) []byte { v[len(magic)] = version; return v[:len(v)-valkey.SignatureSize] })
		},
		"cut":               func() { forge(func(v []byte) []byte { return v[:stampEnd] }) },
		"by who has none":   func() { put(t, plain, "key", response(8, "forged")) },
		"by another secret": func() { put(t, stranger, "key", response(8, "forged")) },
		"variants":          func() { put(t, plain, "key", &store.Variants{Selections: [][]string{{"A"}}, Keys: []string{"key"}}) },
	} {
		put(t, a, "key", response(5, "body"))
		wantBody(t, "as it was written", a, "key", "body")
		before := refused.of("verify signature")
		attack()
		wantBody(t, about, a, "key", "")
		if refused.of("verify signature") == before && about != "cut" {
			t.Errorf("%s: nobody was told", about)
		}
		put(t, a, "key", response(5, "whole"))
		wantBody(t, about+", replaced", a, "key", "whole")
	}
	if err := c.Do(t.Context(), c.B().Copy().Source(at).Destination(a.key('e', "other")).Build()).Error(); err != nil {
		t.Fatal(err)
	}
	wantBody(t, "of another storage key", a, "other", "")
	if a.Down() {
		t.Error("the tier is down for what was forged")
	}
}

// While secrets come to the instances one by one, all share copies; those without a secret, too.
func TestCopiesWhileSecretsCome(t *testing.T) {
	_, s := alone(t, "")
	tiers := map[string]*Tier{"without": tier(t, options(connect(t, s), following(9)))}
	for name, secrets := range map[string][]string{"first": {secretA}, "both": {secretA, secretB}, "changed": {secretB, secretA}} {
		o := options(connect(t, s), following(9))
		signing(&o, &tally{}, false, secrets...)
		tiers[name] = tier(t, o)
	}
	for writer, w := range tiers {
		put(t, w, writer, response(1, "by "+writer))
		put(t, w, writer+"/variants", &store.Variants{Selections: [][]string{{"A"}}, Keys: []string{writer}})
		for reader, r := range tiers {
			if reader == "first" && writer == "changed" {
				continue // it has yet to be given the secret
			}
			wantBody(t, reader+" reads what is by "+writer, r, writer, "by "+writer)
			if get(t, r, writer+"/variants") == nil {
				t.Errorf("%s does not read the variants by %s", reader, writer)
			}
		}
	}
}

// BenchmarkSignature measures what signing and verifying add to a copy of a product, and of a megabyte.
func BenchmarkSignature(b *testing.B) {
	signer := valkey.NewSigner(valkey.SignerOptions{Prefix: prefix, Secrets: []string{secretA}, Require: true, Log: slog.New(slog.DiscardHandler)})
	for about, size := range map[string]int{"4KiB": 4 << 10, "1MiB": 1 << 20} {
		value := make([]byte, size)
		signature := signer.SignCopy(nil, value)
		b.Run(about, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if err := signer.VerifyCopy(signature, value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
