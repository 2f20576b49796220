// Package leaderboard runs instances that keep boards on a real Valkey: what clients see while servers and instances die, and how a board
// comes to the proxy from an API that kept it before. Below it, load holds boards and archive against a model at full rate.
package leaderboard
