// Package config turns a YAML file, the environment and flags into one immutable, validated Snapshot. It is the only
// package that knows both YAML and the options of the other packages.
//
// One table, table*.go, has a row for each key with everything about the key but its use: keys.go describes a row,
// form.go the forms of values. A new key needs a row, its use where its section is compiled, and a line in
// config.example.yaml. docs/configuration.md and docs/config.schema.json are made by: go test ./config -args -update
//
// A file goes through four steps. Each step continues after a problem, so that all problems are reported at once:
//
//	parse      text → YAML nodes, which know their lines                load.go
//	decode     nodes → parts, strictly: every key must be in the table  decode.go, document.go, values.go, expand.go
//	override   environment and flags win over the file                  override.go
//	compile    parts → Snapshot: rules, combinations                    compile.go, admin.go, memory.go, tls.go,
//	                                                                    tracing.go, upstream.go, valkey.go, route*.go
//
// Problems and warnings go to one report (report.go), which knows where every value was written. Each part holds the
// report. The function that compiles a section takes the section's part, returns the section's settings, and reports
// problems by the names of keys. Demands on the value of a single key stand in the key's row (required, positive,
// refuse), and checkKeys checks them. Demands on an entry of a list are the list's form, which is checked as the
// entries are read.
//
// A part knows the written values. Where another value is in force, the compile function tells the part, for GET
// /config (view.go) and for check (written.go).
//
// A Source is read again when one of its Sources, the files behind the snapshot, changes. changes.go lists the changed
// keys and the keys that need a restart.
//
// presets.go is the one table of what each policy decides by itself; no other file asks for a policy's name.
// fingerprint.go is the one list of settings that change the meaning of stored copies.
package config
