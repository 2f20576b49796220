// Package config turns a YAML file, the environment and flags into one immutable, validated Snapshot. It is the only
// package that knows both YAML and the options of the other packages.
//
// A file goes through four steps, each of which goes on after a problem, so that all are reported at once:
//
//	parse      text → YAML nodes, which know their lines           load.go
//	decode     nodes → document, strictly: every key must be known  decode.go, document.go, values.go, expand.go
//	override   environment and flags win over the file             override.go
//	compile    document → Snapshot: defaults, rules, combinations   compile.go, server.go, tls.go,
//	                                                           upstream*.go, route*.go
//
// A Source is read again when one of its Sources, the files it was made of, changes; changes.go says what that changes and
// what needs a restart.
//
// What a policy decides by itself is one table: presets.go; nothing else asks what a policy is called. What changes the meaning of stored copies is one list:
// fingerprint.go.
package config
