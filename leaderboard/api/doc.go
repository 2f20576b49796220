// Package api answers requests for boards: it reads what clients send, keeps what it cannot stand for from the records, and writes JSON.
// It knows no connection and no header field but those that its answers name; package proxy carries answers out.
//
//	Route          what a route says of its boards                              route.go
//	Shape          the JSON of its answers, as templates                        shape.go
//	Desk           answers submissions and reads by the records                 desk.go
//	parse          a submission: one object, or a list of them                  submission.go
//	question       what a read asks                                             question.go
//	tops           the top of boards that were just read, for all who ask       tops.go
//	Permits        who was just allowed what                                    permits.go
//	Refusal        what a client is told                                        refusal.go
//
// Invariants:
//
//   - Of a submission that is refused with 4xx nothing is recorded.
//   - An answer with a part of a board holds what the records held no earlier than Fresh before the request came, and every submission
//     that this desk had acknowledged by then.
//   - A read makes no board. A board is made by a submission only, of which its route has as many as it may.
package api
