package instance

import "github.com/coreos/go-systemd/v22/daemon"

// notify tells a service manager that waits for the process, such as systemd with Type=notify, the state of the process
// (sd_notify(3)). Without a manager notify has no effect.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
