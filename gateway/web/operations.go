package web

import (
	"net/http"

	"github.com/staffetta/staffetta/gateway/operation"
)

// The paths of the pages.
const (
	pathWelcome    = "/"
	pathSignIn     = "/sign-in"
	pathSignOut    = "/sign-out"
	pathLanguage   = "/language"
	pathTerms      = "/terms"
	pathInbox      = "/inbox"
	pathMessage    = "/inbox/{id}"
	pathArchive    = "/inbox/{id}/archive"
	pathOpen       = "/inbox/{id}/open"
	pathAttachment = "/inbox/{id}/attachment"
	pathCalendar   = "/inbox/{id}/due.ics"
	pathServices   = "/services"
	pathDelete     = "/inbox/{id}/delete"
	pathSearch     = "/search"
	pathService    = "/services/{id}"
	pathProfile    = "/profile"
	pathRegion     = "/profile/region"
	pathDevices    = "/devices"
	pathHelp       = "/help"
	pathPrivacy    = "/privacy"
	pathAccessible = "/accessibility"
)

type row = operation.Row[*call]

// formBody is the body of every form of ours. Its type is not insisted on: what is no form has no
// fields, and a request that a page of another origin may send is refused before.
var formBody = operation.Body{Type: "application/x-www-form-urlencoded", Max: formBytesMax}

// rows are the pages and what is posted. No document of an API has them.
func rows() []row { return table }

var table []row

// The table is set here since its functions look into it.
func init() {
	table = []row{
		get(pathWelcome+"{$}", operation.Anyone, (*call).welcome),
		get(pathHelp, operation.Anyone, static("help")),
		get(pathPrivacy, operation.Anyone, static("privacy")),
		get(pathAccessible, operation.Anyone, static("accessibility")),
		post(pathLanguage, operation.Anyone, (*call).setLanguage),
		post(pathSignIn, operation.Anyone, (*call).signIn),
		post(pathSignOut, operation.Session, (*call).signOut),
		get(pathTerms, operation.Session, (*call).terms),
		post(pathTerms, operation.Session, (*call).acceptTerms),
		get(pathInbox, operation.Session, (*call).inbox),
		get(pathMessage, operation.Session, (*call).message),
		post(pathArchive, operation.Session, (*call).archive),
		post(pathOpen, operation.Session, (*call).openMessage),
		get(pathAttachment, operation.Session, (*call).attachment),
		get(pathCalendar, operation.Session, (*call).dueDate),
		post(pathDelete, operation.Session, (*call).deleteMessage),
		get(pathSearch, operation.Session, (*call).searchForm),
		reads(post(pathSearch, operation.Session, (*call).search)),
		get(pathServices, operation.Session, (*call).services),
		get(pathService, operation.Session, (*call).service),
		post(pathService, operation.Session, (*call).saveService),
		get(pathProfile, operation.Session, (*call).showProfile),
		post(pathProfile, operation.Session, (*call).saveProfile),
		post(pathRegion, operation.Session, (*call).moveHome),
		get(pathDevices, operation.Session, (*call).devices),
		post(pathDevices, operation.Session, (*call).endDevices),
	}
}

func get(path string, by operation.By, serve func(*call) error) row {
	return row{Serve: serve, Operation: operation.Operation{Method: http.MethodGet, Path: path,
		By: by, Answers: []int{http.StatusOK}, Type: "text/html"}}
}

func post(path string, by operation.By, serve func(*call) error) row {
	return row{Serve: serve, Operation: operation.Operation{Method: http.MethodPost, Path: path,
		By: by, Body: formBody, Answers: []int{http.StatusSeeOther}}}
}

// reads is a row of what is posted and changes nothing.
func reads(r row) row {
	r.Reads = true
	return r
}
