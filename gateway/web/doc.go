// Package web is the citizens' inbox in a browser: pages at the root of every gateway, for somebody
// who has never read a manual, on a phone, with a keyboard only, or with a screen reader.
//
// Pages are made on the server, from templates of one embedded file system. They work without
// JavaScript: forms post, the answer is 303, a GET shows what became of it. Nothing is asked of
// another host, and the policy that goes with every page allows no inline script or style.
//
// Guarantees:
//   - Nothing is decided here: sessions, profiles and inboxes are the region's, asked as the
//     citizens' API asks. The cookie holds the same token as the app's.
//   - What others wrote is text, or markdown of which an allow-list of elements and schemes is
//     left; a link says whose host it leads to.
//   - A form of another origin changes nothing; a redirect leads to a page of this package only.
//   - No page of a citizen is kept by a cache.
//   - No fiscal code, token, name or body in any log line, metric, title or address.
//
// Map of the files:
//
//	config.go      Config
//	web.go         from a request to its page: origin, session, language
//	operations.go  the pages and what is posted
//	session.go     the cookie, signing out
//	render.go      templates, and what every page shows
//	errors.go      pages that say what to do
//	assets.go      style, script and fonts, named by their content
//	language.go    languages, and which one a page has
//	catalogue.go   the texts of a language
//	format.go      dates in Rome, numbers and amounts
//	form.go        what a form posts
//	login.go       the ways to sign in, and what a login shows
//	welcome.go     the first page, the test login
//	terms.go       the terms, and what to receive
//	inbox.go       the list
//	message.go     one message
//	markdown.go    markdown from outside, without its teeth
//	buttons.go     the buttons of a message's front matter
//	remote.go      what an institution keeps of a message, and asks before
//	attachment.go  a message's documents
//	calendar.go    a due date for a calendar
//	search.go      looking for messages
//	services.go    institutions and their services
//	service.go     what to receive from a service
//	profile.go     the profile, the home region
//	devices.go     the sessions
//	static.go      help, privacy, accessibility
package web
