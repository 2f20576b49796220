package instance

import (
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
)

// listen opens the operator's socket, so that operators can see a start that waits or fails. The clients' socket is
// opened once clients can be served. Sockets inherited from a service manager are used as they are.
func (i *Instance) listen() error {
	given, err := inherited(activation.Files(true))
	if err != nil {
		return err
	}
	if i.adminListener, err = open(given["admin"], i.snapshot.Admin.Listen); err != nil {
		closeAll(given)
		return fmt.Errorf("open admin listener: %w", err)
	}
	if data, is := given["data"]; is {
		i.dataListener = data
	}
	return nil
}

func open(given net.Listener, address string) (net.Listener, error) {
	if given != nil {
		return given, nil
	}
	return net.Listen("tcp", address)
}

// inherited makes listeners of the sockets that a service manager has opened (sd_listen_fds(3)), by their names: data
// and admin. Sockets without such names are data and admin in this order; a single one is data. inherited closes the
// files.
func inherited(files []*os.File) (map[string]net.Listener, error) {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name()
		defer f.Close() // a listener has its own descriptor
	}
	roles := rolesOf(names)
	if roles == nil {
		return nil, fmt.Errorf("take over sockets: %d were handed over as %q; hand over one for clients, and at most one for the admin listener, named data and admin", len(names), names)
	}
	given := map[string]net.Listener{}
	for i, role := range roles {
		l, err := net.FileListener(files[i])
		if err != nil {
			closeAll(given)
			return nil, fmt.Errorf("take over socket %s: %w", role, err)
		}
		given[role] = l
	}
	return given, nil
}

// rolesOf is the roles of sockets with these names; nil: no valid roles.
func rolesOf(names []string) []string {
	named := true
	for _, name := range names {
		named = named && (name == "data" || name == "admin")
	}
	switch {
	case len(names) > 2, named && len(names) == 2 && names[0] == names[1]:
		return nil
	case named:
		return names
	default:
		return []string{"data", "admin"}[:len(names)]
	}
}

func closeAll(listeners map[string]net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}
