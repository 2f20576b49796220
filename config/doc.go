// Package config turns a YAML file, the environment and flags into one immutable, validated Snapshot. It is the only
// package that knows both YAML and the options of the other packages.
//
// All that is known of a key without its use is a row of one table: table*.go, of which keys.go says what a row is and form.go how
// values are written. A new key is a row, its use where its section is compiled, and a line in config.example.yaml; docs/configuration.md
// and docs/config.schema.json are made by: go test ./config -args -update
//
// A file goes through four steps, each of which goes on after a problem, so that all are reported at once:
//
//	parse      text → YAML nodes, which know their lines                load.go
//	decode     nodes → parts, strictly: every key must be in the table  decode.go, document.go, values.go, expand.go
//	override   environment and flags win over the file                  override.go
//	compile    parts → Snapshot: rules, combinations                    compile.go, admin.go, memory.go, tls.go, tracing.go, upstream.go, valkey.go, route*.go
//
// Problems and warnings go to one report (report.go), which knows where every value was written. Each part holds the report, and each
// section is compiled by a function that takes its part, returns what the section comes to, and reports by the names of keys. What a
// single key demands of its value is said in its row (required, positive, refuse) and checked by checkKeys; what an entry of a list
// has to be is the list's form, and checked as the entries are read.
//
// A part knows what was written; where something else is in force, compiling tells the part, for GET /config (view.go) and for check
// (written.go).
//
// A Source is read again when one of its Sources, the files it was made of, changes; changes.go says what that changes and
// what needs a restart.
//
// What a policy decides by itself is one table, too: presets.go; nothing else asks what a policy is called. What changes the meaning
// of stored copies is one list: fingerprint.go.
package config
