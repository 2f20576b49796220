package main

import "syscall"

// errAddressInUse is what net.Listen wraps when another program listens there.
var errAddressInUse error = syscall.EADDRINUSE
