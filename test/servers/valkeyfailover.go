package servers

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// lookAgain is the pause between two looks at servers that change their roles.
const lookAgain = 50 * time.Millisecond

// Follow makes the server a replica of another.
func (v *ValkeyServer) Follow(ctx context.Context, primary *ValkeyServer) error {
	return v.FollowAddress(ctx, primary.Address())
}

// FollowAddress makes the server a replica of the one that is reached at an
// address.
func (v *ValkeyServer) FollowAddress(ctx context.Context, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("follow %q: %w", address, err)
	}
	_, err = v.CLI(ctx, "REPLICAOF", host, port)
	return err
}

// Now is which of the two servers the sentinel holds to be the primary, and the
// other one.
func (s *ValkeySentinel) Now(ctx context.Context) (primary, other *ValkeyServer, err error) {
	answer, err := s.Sentinel.CLI(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SentinelMaster)
	if err != nil {
		return nil, nil, err
	}
	switch address := strings.Join(strings.Fields(answer), ":"); address {
	case s.Primary.Address():
		return s.Primary, s.Replica, nil
	case s.Replica.Address():
		return s.Replica, s.Primary, nil
	default:
		return nil, nil, fmt.Errorf("ask sentinel for the primary: %q is neither server", address)
	}
}

// AwaitPrimary waits until the sentinel has made a server the primary.
func (s *ValkeySentinel) AwaitPrimary(ctx context.Context, v *ValkeyServer) error {
	return eventually(ctx, func() (bool, error) {
		primary, _, err := s.Now(ctx)
		if err != nil || primary != v {
			return false, err
		}
		role, err := v.CLI(ctx, "ROLE")
		return strings.HasPrefix(role, "master"), err
	})
}

// AwaitReplica waits until a server follows the one that the sentinel holds to
// be the primary, and both know it.
func (s *ValkeySentinel) AwaitReplica(ctx context.Context, v *ValkeyServer) error {
	return eventually(ctx, func() (bool, error) {
		primary, other, err := s.Now(ctx)
		if err != nil || other != v {
			return false, err
		}
		info, err := v.CLI(ctx, "INFO", "replication")
		if err != nil || !strings.Contains(info, "role:slave") || !strings.Contains(info, "master_link_status:up") {
			return false, err
		}
		info, err = primary.CLI(ctx, "INFO", "replication")
		return strings.Contains(info, "state=online"), err
	})
}

// eventually asks until the answer is yes. What fails meanwhile is told when
// the time is over.
func eventually(ctx context.Context, ask func() (bool, error)) error {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	for {
		yes, err := ask()
		if yes && err == nil {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for servers to change their roles: %w (last: %v)", ctx.Err(), err)
		}
	}
}
