package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxIntroduction is the longest introduction that is read, in bytes. It is more than both addresses take in either
// version of the PROXY protocol, and leaves room for the TLVs that balancers add.
const maxIntroduction = 536

// maxLine is the longest introduction of version 1, including its end (PROXY protocol §2.1).
const maxLine = 107

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n" // begins version 2 (§2.2)
	line      = "PROXY "                 // begins version 1
)

var (
	errNotIntroduced = errors.New("read PROXY header: malformed, or none")
	errIncomplete    = errors.New("read PROXY header: not there yet")
)

// introduction holds the addresses that a proxy names for the connection of a client. In the zero value the addresses
// of the connection stay: the connection is the proxy's own, or the client has no address (LOCAL, UNKNOWN).
type introduction struct{ client, target netip.AddrPort }

// parseIntroduction reads a header of either version at the beginning of b. The bytes behind the first n belong to
// the client. errIncomplete means that parseIntroduction needs more bytes.
func parseIntroduction(b []byte) (in introduction, n int, err error) {
	switch {
	case begins(b, signature):
		return parseBinary(b)
	case begins(b, line):
		return parseLine(b)
	default:
		return in, 0, errNotIntroduced
	}
}

// begins reports whether b begins with what, or b, if shorter, is a beginning of what.
func begins(b []byte, what string) bool {
	n := min(len(b), len(what))
	return string(b[:n]) == what[:n]
}

// parseLine reads version 1 (§2.1).
func parseLine(b []byte) (in introduction, n int, err error) {
	end := bytes.Index(b[:min(len(b), maxLine)], []byte("\r\n"))
	switch {
	case end < 0 && len(b) < maxLine:
		return in, 0, errIncomplete
	case end < 0:
		return in, 0, errNotIntroduced
	}
	n = end + len("\r\n")
	fields := strings.Split(string(b[:end]), " ")
	if len(fields) > 1 && fields[1] == "UNKNOWN" { // the rest of the line has no meaning
		return in, n, nil
	}
	if len(fields) != 6 {
		return in, 0, errNotIntroduced
	}
	var ok, also bool
	in.client, ok = parseEnd(fields[1], fields[2], fields[4])
	in.target, also = parseEnd(fields[1], fields[3], fields[5])
	if !ok || !also {
		return introduction{}, 0, errNotIntroduced
	}
	return in, n, nil
}

// parseEnd reads an address and a port of version 1.
func parseEnd(family, address, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || family != "TCP4" && family != "TCP6" || a.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), err == nil && strconv.FormatUint(p, 10) == port
}

// parseBinary reads version 2 (§2.2).
func parseBinary(b []byte) (in introduction, n int, err error) {
	const fixed = len(signature) + 4
	if len(b) < fixed {
		return in, 0, errIncomplete
	}
	command, family := b[12], b[13]
	n = fixed + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case command != 0x20 && command != 0x21 || n > maxIntroduction:
		return in, 0, errNotIntroduced
	case len(b) < n:
		return in, 0, errIncomplete
	}
	ends := b[fixed:n]
	address := 0 // length of one address, in bytes
	switch {
	case command == 0x20, family == 0x00, family == 0x31: // LOCAL; UNSPEC and UNIX, which have no IP address
		return in, n, nil
	case family == 0x11: // TCP over IPv4
		address = 4
	case family == 0x21: // TCP over IPv6
		address = 16
	}
	if address == 0 || len(ends) < 2*address+4 {
		return in, 0, errNotIntroduced
	}
	end := func(address, port []byte) netip.AddrPort {
		a, _ := netip.AddrFromSlice(address) // cannot fail: address is 4 or 16 bytes long
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
	}
	in.client = end(ends[:address], ends[2*address:])
	in.target = end(ends[address:2*address], ends[2*address+2:])
	return in, n, nil // TLVs may follow, which nobody here needs
}

// introduce reads the introduction of a connection whose peer has to introduce its client. The first goroutine that
// asks for a fact of the introduction, or for the bytes behind it, runs introduce: the goroutine that serves the
// connection, before any read and before TLS. The accepting goroutine never runs introduce, so that a silent proxy
// delays no other connection.
func (c *connection) introduce() error {
	if !c.introduced {
		return nil
	}
	c.introducing.Do(func() {
		var buf [maxIntroduction]byte
		n, err := c.readIntroduction(&buf)
		if c.notIntroduced = err; err == nil || errors.Is(err, net.ErrClosed) {
			return
		}
		c.all.unintroduced.Add(1)
		_ = c.drop()
		if wrong := faultOf(buf[:n], err); wrong != "" {
			c.all.misintroduced(addrOf(c.Conn.RemoteAddr()), true, wrong)
		}
	})
	return c.notIntroduced
}

// faultOf says for the log why b, which a proxy has sent, is no introduction. Empty: the proxy closed the connection
// without sending a byte, as checks of a balancer do. No content of b is told: requests are personal.
func faultOf(b []byte, err error) string {
	switch late := errors.Is(err, os.ErrDeadlineExceeded); {
	case late && len(b) == 0:
		return "nothing came within read_header_timeout"
	case len(b) == 0:
		return ""
	case late:
		return "the PROXY header was not complete within read_header_timeout"
	case !errors.Is(err, errNotIntroduced):
		return "the connection ended in the PROXY header"
	case begins(b, signature):
		return "the PROXY header, of version 2, is malformed or longer than " + strconv.Itoa(maxIntroduction) + " bytes"
	case begins(b, line):
		return "the PROXY header, of version 1, is malformed"
	case b[0] == handshake:
		return "TLS began without a PROXY header before it"
	}
	return "something else came in place of a PROXY header, such as a request"
}

// handshake is the type of the first record of TLS (RFC 8446 §5.1).
const handshake = 22

// opening looks at the first bytes from a peer that is not among the proxies. An introduction from such a peer is
// malformed HTTP or TLS, and nothing in the answer would say why.
func (c *connection) opening(p []byte) {
	if v1 := len(p) >= len(line) && begins(p, line); v1 || len(p) >= len(signature) && begins(p, signature) {
		c.all.misintroduced(addrOf(c.Conn.RemoteAddr()), false, "a PROXY header came from a peer that is not in proxy_protocol")
	}
}

// readIntroduction reads into buf, and returns how many bytes it has read.
func (c *connection) readIntroduction(buf *[maxIntroduction]byte) (n int, err error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(c.all.limits.ReadHeaderTimeout)); err != nil {
		return 0, err
	}
	for {
		m, err := c.Conn.Read(buf[n:])
		n += m
		in, read, malformed := parseIntroduction(buf[:n])
		switch {
		case malformed == nil:
			c.ahead = bytes.Clone(buf[read:n])
			return n, c.takeOver(in)
		case !errors.Is(malformed, errIncomplete):
			return n, malformed
		case err != nil:
			return n, err
		}
	}
}

// takeOver takes over the addresses of an introduction.
func (c *connection) takeOver(in introduction) error {
	if in.client.IsValid() {
		c.remote, c.local = net.TCPAddrFromAddrPort(in.client), net.TCPAddrFromAddrPort(in.target)
		if !c.all.count(c, in.client.Addr()) {
			c.all.refused.Add(1)
			_ = c.drop()
			return net.ErrClosed
		}
	}
	return c.Conn.SetReadDeadline(time.Time{})
}

// RemoteAddr returns the client's address, which its proxy may have named. net/http's goroutine of a connection calls
// RemoteAddr first of all.
func (c *connection) RemoteAddr() net.Addr {
	if c.all.hits != nil {
		stackForHit(0)
	}
	if _ = c.introduce(); c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr returns the address that the client has connected to, which its proxy may have named.
func (c *connection) LocalAddr() net.Addr {
	if _ = c.introduce(); c.local != nil {
		return c.local
	}
	return c.Conn.LocalAddr()
}
