// Package api answers requests for boards. The package parses requests, refuses invalid ones before they reach the
// records, and writes JSON. It knows no connections, and no header fields except those that an Answer has; package
// proxy sends the answers.
//
//	Route          the settings of a route for its boards                       route.go
//	Shape          the JSON of answers, as templates                            shape.go
//	Desk           answers submissions and reads from the records               desk.go
//	parse          a submission: one object, or a list of them                  submission.go
//	question       the question of a read                                       question.go
//	tops           the top of boards that were just read, for all readers       tops.go
//	Permits        permissions that were just given                             permits.go
//	Refusal        the text for a client                                        refusal.go
//
// Invariants:
//
//   - Nothing of a submission that is refused with 4xx is recorded.
//   - An answer with a part of a board shows the records at a time no earlier than Fresh before the request came, and
//     includes every submission that this desk had acknowledged before the request came.
//   - A read makes no board. Only a submission makes a board, up to the route's bound.
package api
