package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	durable "cacheproxy/durable/valkey"

	client "github.com/valkey-io/valkey-go"
)

// trial is a command of the proxy, on a key of its own.
type trial struct {
	name string
	args []string // KEY stands for the key
}

// The commands of the tier of copies, of the log and of the queue, used in scripts and outside.
var (
	ofCopies = []trial{
		{"SET", []string{"KEY", "v", "PX", "60000"}}, {"GET", []string{"KEY"}}, {"GETRANGE", []string{"KEY", "0", "1"}},
		{"PTTL", []string{"KEY"}}, {"PEXPIRE", []string{"KEY", "60000"}}, {"DEL", []string{"KEY"}},
	}
	ofLog = []trial{
		{"HSET", []string{"KEY", "a", "1"}}, {"HGET", []string{"KEY", "a"}}, {"HMGET", []string{"KEY", "a", "b"}}, {"HGETALL", []string{"KEY"}},
		{"HVALS", []string{"KEY"}}, {"HDEL", []string{"KEY", "a"}}, {"DEL", []string{"KEY"}},
		{"ZADD", []string{"KEY", "1", "a"}}, {"ZRANGE", []string{"KEY", "0", "-1", "WITHSCORES"}}, {"ZCARD", []string{"KEY"}},
		{"ZCOUNT", []string{"KEY", "-inf", "0"}}, {"ZREVRANGEBYSCORE", []string{"KEY", "0", "-inf"}},
		{"ZREMRANGEBYRANK", []string{"KEY", "0", "0"}}, {"ZREMRANGEBYSCORE", []string{"KEY", "0", "0"}}, {"DEL", []string{"KEY"}},
		{"RPUSH", []string{"KEY", "a"}}, {"LTRIM", []string{"KEY", "-64", "-1"}}, {"LRANGE", []string{"KEY", "0", "-1"}}, {"DEL", []string{"KEY"}},
		{"XADD", []string{"KEY", "MAXLEN", "~", "10", "*", "n", "v"}}, {"XRANGE", []string{"KEY", "-", "+"}}, {"XREVRANGE", []string{"KEY", "+", "-"}},
		{"XREAD", []string{"COUNT", "1", "STREAMS", "KEY", "0"}}, {"DEL", []string{"KEY"}},
	}
	ofQueue = []trial{
		{"RPUSH", []string{"KEY", "a"}}, {"LLEN", []string{"KEY"}}, {"LINDEX", []string{"KEY", "0"}}, {"LREM", []string{"KEY", "1", "b"}}, {"DEL", []string{"KEY"}},
		{"HINCRBY", []string{"KEY", "a", "1"}}, {"DEL", []string{"KEY"}}, {"ZADD", []string{"KEY", "1", "a"}}, {"ZREM", []string{"KEY", "b"}}, {"DEL", []string{"KEY"}},
		{"XADD", []string{"KEY", "*", "n", "v"}}, {"XDEL", []string{"KEY", "1-1"}}, {"DEL", []string{"KEY"}},
	}
)

// inScript runs a trial from a script.
const inScript = `return redis.call(unpack(ARGV))`

// attempts collects the commands that the user may not run.
type attempts struct {
	*inspection
	refused []string // without repetitions
	broken  bool     // writing fails for another reason
}

// note records the result of an attempt, and reports whether the attempt succeeded.
func (a *attempts) note(name string, err error) bool {
	kind := Kind(err)
	switch {
	case err == nil || client.IsValkeyNil(err):
		return true
	case kind == "noperm" || unknown(err):
		if !slices.Contains(a.refused, name) {
			a.refused = append(a.refused, name)
		}
	case !a.broken: // all commands that write fail alike
		a.broken = true
		a.add(wrong, "writing", "fails: %v%s", err, unwritable[kind])
	}
	return false
}

// permissions runs the proxy's commands and reports those that the user may not run.
func (in *inspection) permissions(ctx context.Context) {
	a := &attempts{inspection: in}
	id := strings.ToLower(rand.Text()[:8])
	of := in.Prefix + ":check:{" + id + "}" // as keys of copies spread over a cluster
	log := "{" + in.Prefix + "}:check:" + id
	a.all(ctx, of, ofCopies)
	a.all(ctx, log, ofLog)
	if len(in.Queued) > 0 {
		a.all(ctx, log, ofQueue)
		if err := durable.ProvesDisk(ctx, in.client); !durable.Unfit(err) { // else no permission helps
			a.note("WAITAOF", err)
		}
	}
	a.note("EVALSHA", in.evalsha(ctx, log))
	a.note("MULTI", in.transaction(ctx, of))
	a.note("SUBSCRIBE and PUBLISH", in.subscribe(ctx, in.Prefix+":check:"+id))
	a.note("WAIT", in.wait(ctx, log))
	a.note("INFO", in.client.Do(ctx, in.client.B().Info().Section("server").Build()).Error())
	a.note("DEL", in.run(ctx, log, "DEL", []string{log}))
	switch {
	case len(a.refused) > 0:
		in.add(wrong, "permissions", "user %s may not use %s; grant: ACL SETUSER %[1]s ~%[3]s:* ~{%[3]s}:* &%[3]s:* +@read +@write +@scripting +@pubsub +@transaction +@connection +info +time +wait +waitaof",
			in.user(), strings.Join(a.refused, ", "), in.Prefix)
	case !a.broken:
		in.add(Fine, "permissions", "user %s may do all that the proxy does", in.user())
	}
}

// all runs the trials on one key, which the last trial deletes.
func (a *attempts) all(ctx context.Context, key string, trials []trial) {
	for _, t := range trials {
		args := make([]string, len(t.args))
		for i, arg := range t.args {
			if args[i] = arg; arg == "KEY" {
				args[i] = key
			}
		}
		if !a.note(t.name, a.run(ctx, key, t.name, args)) || t.name == "XREAD" {
			continue
		}
		a.note("EVAL of "+t.name, a.run(ctx, key, "EVAL", append([]string{inScript, "1", key, t.name}, args...)))
	}
}

// transaction reads lifetime and content in one transaction, as the proxy reads copies.
func (in *inspection) transaction(ctx context.Context, key string) error {
	b := in.client.B
	replies := in.client.DoMulti(ctx, b().Multi().Build(), b().Pttl().Key(key).Build(), b().Getrange().Key(key).Start(0).End(1).Build(), b().Exec().Build())
	for _, r := range replies {
		if err := r.Error(); err != nil {
			return err
		}
	}
	return nil
}

func (in *inspection) user() string {
	if in.Server.Username == "" {
		return "default"
	}
	return in.Server.Username
}

// run runs a command on the node of key.
func (in *inspection) run(ctx context.Context, key, name string, args []string) error {
	command := in.client.B().Arbitrary(name)
	for _, arg := range args {
		if arg == key {
			command = command.Keys(arg)
		} else {
			command = command.Args(arg)
		}
	}
	return in.client.Do(ctx, command.Build()).Error()
}

// evalsha runs a script by its hash, which the server has from EVAL.
func (in *inspection) evalsha(ctx context.Context, key string) error {
	for range 2 {
		if err := client.NewLuaScript("return 1").Exec(ctx, in.client, []string{key}, nil).Error(); err != nil {
			return err
		}
	}
	return nil
}

// subscribe checks that a message published here arrives here.
func (in *inspection) subscribe(ctx context.Context, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	heard := errors.New("heard")
	ctx, done := context.WithCancelCause(ctx)
	defer done(nil)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			_ = in.client.Do(ctx, in.client.B().Publish().Channel(channel).Message("v").Build())
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := in.client.Receive(ctx, in.client.B().Subscribe().Channel(channel).Build(), func(client.PubSubMessage) { done(heard) })
	if context.Cause(ctx) == heard {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("nothing is heard on %s: %w", channel, err)
	}
	return err
}

// wait has replicas confirm a write, if the proxy needs confirmations.
func (in *inspection) wait(ctx context.Context, key string) error {
	if in.Replicas == 0 {
		return nil
	}
	var confirmed int64
	err := in.client.Dedicated(func(c client.DedicatedClient) error {
		results := c.DoMulti(ctx, c.B().Set().Key(key).Value("v").Px(time.Minute).Build(),
			c.B().Wait().Numreplicas(int64(in.Replicas)).Timeout((in.Lease / 3).Milliseconds()).Build())
		if err := results[0].Error(); err != nil {
			return err
		}
		var err error
		confirmed, err = results[1].AsInt64()
		return err
	})
	if err == nil && confirmed < int64(in.Replicas) {
		in.add(wrong, "WAIT", "%d replicas confirmed a write within %v, and durability: replicas needs %d; look at their lag and their links", confirmed, in.Lease/3, in.Replicas)
	} else if err == nil {
		in.add(Fine, "WAIT", "a write is confirmed by a replica")
	}
	return err
}

// unknown reports whether the server does not know the command, as where a service has removed the command.
func unknown(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "unknown command")
}

// unwritable has the advice for failing writes, by kind of error.
var unwritable = map[string]string{
	"readonly":   ": this is a replica; name its primary, or use sentinel",
	"noreplicas": ": min-replicas-to-write is not met; bring the replicas back. Until then no instance has a lease",
	"oom":        ": the memory is full; set maxmemory-policy to volatile-lfu, or raise maxmemory",
	"misconf":    ": it cannot write to its disk; make room, or look at its log",
	"down":       ": a part of the cluster has no primary",
}
