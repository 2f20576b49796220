// Package instance is one running proxy: it joins the other packages, for a process that runs alone or as one of a
// fleet. New builds an instance and starts nothing. Run, or Serve, owns every goroutine and ends them in order.
//
//	instance.go   Options, New, Run, and what runs in the background
//	listen.go     the sockets: opened here, or inherited from a service manager; notify.go tells the manager the state
//	resources.go  memory and open files, within what the machine allows (files_*.go)
//	upstreams.go  the origins in force, and their health checks
//	tracing.go    where traces go
//
//	operator.go   the operations of the operator's listener
//	reload.go     one generation of the configuration after the other
//	watch.go      which changes of files ask for a reload
//	switches.go   modes set by operators
//
//	fleet.go      what several instances share: the server, the log on it, the lease
//	valkey.go     the copies on the server, and the claims on fetches
//	fleetwatch.go changes in the fleet, for the log and for operators
//	headcount.go  how many instances share the limit of an origin
//
//	holdings.go   what the fleet may have copies of
//	behind.go     the queue of writes; boards.go, boardarchive.go: the boards; changes.go: the changes of a database
//	clientcertificate.go  the certificate for the servers of copies and records
//
//	logs.go       the program's log and its lines of audit
//	failing.go    answers of upstreams that are errors, in the log
//	protection.go upstreams that could not bear the loss of the copies
//
//	stop.go       the end, in order
package instance
