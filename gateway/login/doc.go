// Package login leads citizens through an identity provider's login, in a browser or in the app.
//
// It keeps nothing: what was begun travels in a cookie of the browser, sealed under a key that
// every gateway of the federation derives from the directory's, so whichever gateway gets the
// provider's answer can finish. The cookie belongs to one login by its state, lasts ten minutes,
// and ends with the answer. Without it nothing is finished: an answer that somebody else's browser
// earned opens no session here. The token is always a new one.
//
// The app gets the token in the fragment of profile.html, a browser in a cookie that no script
// reads. A login that fails leads to error.html, which the app reads by its query.
//
// What a provider's protocol is, and what of its word is believed, is package identity's.
//
// Map of the files:
//
//	config.go   Config, bounds
//	login.go    Flow, its operations
//	begin.go    from a citizen's wish to the provider
//	finish.go   from the provider's answer to a session
//	begun.go    what was begun, sealed in a cookie
//	target.go   where a browser goes afterwards
//	pages.go    what a browser is shown
package login
