// Package citizen is the citizens' HTTP API of a gateway: logging in, the profile whose accepted
// terms are the activation, what to receive from which service, and the inbox.
//
// The shapes, paths and status codes are those that the IO app's generated client decodes
// (io-backend identity and communication, session manager); api/citizens.yaml describes exactly
// what is served, and docs/citizens.md where it differs and why. The older base path /api/v1 is
// not served: here it belongs to the institutions.
//
// Guarantees:
//   - An absent field is left out; no answer ever contains null.
//   - An operation answers only the statuses that its row of operations.go lists.
//   - 401 comes before every other refusal, so that a client with a dead session learns that
//     first; and only the region that holds the session can cause it, or a token that cannot
//     be one.
//   - Nothing is decided here: sessions, profiles, preferences and inboxes are the region's. The
//     token names its region, so that any gateway finds it without a look-up.
//   - No fiscal code, token, name or body in any log line, metric or problem.
//
// Map of the files:
//
//	config.go       Config, Relay and the limits
//	api.go          from a request to its answer: authentication, bounds, errors
//	operations.go   the operations
//	problems.go     the problem types and the table from wire codes
//	body.go         the body, and what is said of one that is none
//	query.go        the parameters of the query
//	token.go        the bearer token
//	login.go        test login
//	session.go      what a session is, the citizen's others, logout
//	lock.go         a citizen's lock of their own access
//	signed.go       what a device has signed
//	testcitizens.go the file of citizens that may use the test login
//	profile.go      reading the profile, profileupdate.go writing it
//	preference.go   service preferences
//	move.go         the home region
//	health.go       whether logins are answered
//	catalogue.go    services and institutions, words.go how names are looked for
//	thirdparty.go   what institutions keep of messages, fetched for who opens them
//	inbox.go        the list, message.go one message, sender.go the senders' names
//	forpages.go     what the pages of package web have from here
//	owninbox.go     what the contract's inbox does not have: deleting, counting, searching
package citizen
