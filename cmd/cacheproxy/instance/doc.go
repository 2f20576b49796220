// Package instance is one running proxy: it joins what the other packages offer, for a process that runs alone or as one
// of a fleet. New builds it and starts nothing; Run, or Serve, owns every goroutine and ends them in order.
//
//	instance.go   Options, New, Run, and what runs in the background
//	listen.go     the sockets: opened here, or handed over by a service manager; notify.go tells it how far the process is
//	resources.go  memory and open files, within what the machine allows (files_*.go)
//	upstreams.go  the origins in force, and their health checks
//	tracing.go    where traces go
//
//	operator.go   what the operator's listener may do
//	reload.go     one generation of the configuration after the other
//	watch.go      which changes of files ask for a reload
//	switches.go   modes that operators have set
//
//	fleet.go      what several instances share: the server, the log on it, the lease
//	valkey.go     the copies there, and who may fetch what nobody has
//	fleetwatch.go what is told of it, in the log and to operators
//	headcount.go  how many instances share what an origin may have at work
//
//	stop.go       the end, in order; reuseport_*.go leaves the port to the next instance
package instance
