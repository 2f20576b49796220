package valkey

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	client "github.com/valkey-io/valkey-go"
)

// trial is a command as the proxy uses it, on a key of its own.
type trial struct {
	name string
	args []string // KEY stands for the key, CHANNEL for a channel
}

// trials are the commands that the log and the tier of copies use, outside scripts and in them: one that a script may not use
// fails only there.
var trials = []trial{
	{"SET", []string{"KEY", "v", "PX", "60000"}}, {"GET", []string{"KEY"}}, {"GETRANGE", []string{"KEY", "0", "1"}},
	{"PEXPIRE", []string{"KEY", "60000"}}, {"DEL", []string{"KEY"}},
	{"HSET", []string{"KEY", "a", "1"}}, {"HGET", []string{"KEY", "a"}}, {"HMGET", []string{"KEY", "a", "b"}}, {"HGETALL", []string{"KEY"}},
	{"HVALS", []string{"KEY"}}, {"HDEL", []string{"KEY", "a"}}, {"DEL", []string{"KEY"}},
	{"ZADD", []string{"KEY", "1", "a"}}, {"ZRANGE", []string{"KEY", "0", "-1", "WITHSCORES"}}, {"ZCARD", []string{"KEY"}},
	{"ZCOUNT", []string{"KEY", "-inf", "0"}}, {"ZREVRANGEBYSCORE", []string{"KEY", "0", "-inf"}},
	{"ZREMRANGEBYRANK", []string{"KEY", "0", "0"}}, {"ZREMRANGEBYSCORE", []string{"KEY", "0", "0"}}, {"DEL", []string{"KEY"}},
	{"XADD", []string{"KEY", "MAXLEN", "~", "10", "*", "n", "v"}}, {"XRANGE", []string{"KEY", "-", "+"}}, {"XREVRANGE", []string{"KEY", "+", "-"}},
	{"XREAD", []string{"COUNT", "1", "STREAMS", "KEY", "0"}}, {"DEL", []string{"KEY"}},
	{"PUBLISH", []string{"CHANNEL", "v"}},
}

// inScript runs a trial from a script.
const inScript = `return redis.call(unpack(ARGV))`

// permissions runs what the proxy runs, and says what of it may not be run.
func (in *inspection) permissions(ctx context.Context) {
	scratch := "{" + in.Prefix + "}:check:" + strings.ToLower(rand.Text()[:8])
	var refused []string
	broken := false
	try := func(name string, err error) bool {
		switch kind := Kind(err); {
		case err == nil || client.IsValkeyNil(err):
			return true
		case kind == "noperm" || unknown(err):
			refused = append(refused, name)
		case !broken: // the same goes for all that write
			broken = true
			in.add(Wrong, "writing", "fails: %s", unwritable(kind, err))
		}
		return false
	}
	for _, t := range trials {
		args := strings.Split(strings.NewReplacer("KEY", scratch, "CHANNEL", scratch).Replace(strings.Join(t.args, "\x00")), "\x00")
		if !try(t.name, in.run(ctx, scratch, t.name, args)) || t.name == "PUBLISH" || t.name == "XREAD" {
			continue
		}
		script := append([]string{inScript, "1", scratch, t.name}, args...)
		try(t.name+" in a script", in.run(ctx, scratch, "EVAL", script))
	}
	try("EVALSHA", in.evalsha(ctx, scratch))
	try("SUBSCRIBE", in.subscribe(ctx, scratch))
	try("WAIT", in.wait(ctx, scratch))
	try("DEL", in.run(ctx, scratch, "DEL", []string{scratch}))
	switch {
	case len(refused) > 0:
		in.add(Wrong, "permissions", "%s may not use %s on {%[3]s}:*; grant: ACL SETUSER %[1]s on ~{%[3]s}:* &{%[3]s}:* +@read +@write +@scripting +@pubsub +info +time +wait +client|setname +client|setinfo",
			in.user(), strings.Join(refused, ", "), in.Prefix)
	case !broken:
		in.add(Fine, "permissions", "%s may do all that the proxy does", in.user())
	}
}

func (in *inspection) user() string {
	if in.Server.Username == "" {
		return "default"
	}
	return in.Server.Username
}

// run runs a command whose key decides which node it goes to.
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
	err := client.NewLuaScript("return 1").Exec(ctx, in.client, []string{key}, nil).Error()
	if err != nil {
		return err
	}
	return client.NewLuaScript("return 1").Exec(ctx, in.client, []string{key}, nil).Error()
}

// subscribe hears what it says itself.
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
			_ = in.client.Do(ctx, in.client.B().Publish().Channel(channel).Message("v").Build()) // what matters is whether it is heard
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

// wait has replicas confirm a write, where the proxy does.
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
		in.add(Wrong, "WAIT", "%d replicas confirmed a write within %v, and durability: replicas needs %d; look at their lag and their links", confirmed, in.Lease/3, in.Replicas)
	} else if err == nil {
		in.add(Fine, "WAIT", "a write is confirmed by a replica")
	}
	return err
}

// unknown reports whether the server does not know the command, as where a service has taken it away.
func unknown(err error) bool {
	return strings.Contains(strings.ToLower(err.Error()), "unknown command")
}

// unwritable says what to do about a server that takes no writes.
func unwritable(kind string, err error) string {
	switch kind {
	case "readonly":
		return err.Error() + ": this is a replica; name its primary, or use sentinel"
	case "noreplicas":
		return err.Error() + ": min-replicas-to-write is not met; bring the replicas back. Until then no instance has a lease"
	case "oom":
		return err.Error() + ": the memory is full; set maxmemory-policy to volatile-lfu, or raise maxmemory"
	case "misconf":
		return err.Error() + ": it cannot write to its disk; make room, or look at its log"
	case "down":
		return err.Error() + ": a part of the cluster has no primary"
	}
	return err.Error()
}
