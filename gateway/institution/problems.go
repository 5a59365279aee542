package institution

import (
	"fmt"
	"net/http"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/problem"
)

// The contract's words. Clients compare some of them, so its slips of the pen are kept.
const (
	titleNotAllowed = "You are not allowed here"
	titleInvalid    = "Invalid message structure"
	titleRecipient  = "Recipient forbidden"

	detailNotAllowed = "You do not have enough permission to complete the operation you requested"
	detailBothPlaces = "The fiscalcode parameter must be specified in the path or in the payload " +
		"but not in both"
	detailMemberKey = "The member idempotency_key must have 1 to 255 visible ASCII characters."
	// detailQuotedKey is of a key of either place that begins with a quote.
	detailQuotedKey = "A key that begins with a quote must be one quoted string (RFC 9651), " +
		"without parameters, of 1 to 255 visible ASCII characters."
	detailTwoKeys = "The header Idempotency-Key and the member idempotency_key name two keys."

	detailMisplacedKey = "The key stands in the header Idempotency-Key, or in the member " +
		"idempotency_key of the message itself; nowhere else, and under no other name."
	detailNoPlace = "The fiscalcode parameter must be specified in the path or in the payload"
)

// Every refusal of this API but those of package problem. docs/problems.md lists them under
// "Institutions".
var (
	malformedJSON = problem.Problem{Type: "malformed-json", Status: http.StatusBadRequest,
		Title: titleInvalid}
	invalidMessage = problem.Problem{Type: "invalid-message", Status: http.StatusBadRequest,
		Title: titleInvalid}
	invalidFiscalCode = problem.Problem{Type: "invalid-fiscal-code",
		Status: http.StatusBadRequest, Title: "Invalid " + typeFiscalCode,
		Detail: `value ["..."] at [root] is not a valid [` + typeFiscalCode + `]`}
	invalidPayload = problem.Problem{Type: "invalid-payload", Status: http.StatusBadRequest,
		Title: "Invalid GetLimitedProfileByPOSTPayload"}
	invalidIdempotencyKey = problem.Problem{Type: "invalid-idempotency-key",
		Status: http.StatusBadRequest, Title: "Invalid Idempotency-Key",
		Detail: "The header must be given once, with 1 to 255 visible ASCII characters."}
	badParameters = problem.Problem{Type: "bad-parameters", Status: http.StatusBadRequest,
		Title: "Bad parameters"}
	amountExceeded = problem.Problem{Type: "payment-amount-exceeded",
		Status: http.StatusBadRequest, Title: "Error while sending payment metadata"}

	noValidScope = problem.Problem{Type: "no-valid-scope", Status: http.StatusForbidden,
		Title: "User has no valid scopes",
		Detail: "You are not part of any valid scope, you should ask the administrator to give " +
			"you the required permissions."}
	scopeMissing = problem.Problem{Type: "scope-missing", Status: http.StatusForbidden,
		Title: titleNotAllowed, Detail: detailNotAllowed}
	sourceForbidden = problem.Problem{Type: "source-address-forbidden",
		Status: http.StatusForbidden, Title: titleNotAllowed, Detail: detailNotAllowed}
	notSender = problem.Problem{Type: "not-the-sender", Status: http.StatusForbidden,
		Title: titleNotAllowed, Detail: "You are not allowed to read this message, " +
			"you can only read messages that you have sent"}
	recipientForbidden = problem.Problem{Type: "recipient-forbidden",
		Status: http.StatusForbidden, Title: titleRecipient,
		Detail: "You are not allowed to issue requests for the recipient."}
	noConfiguration = problem.Problem{Type: "configuration-id-missing",
		Status: http.StatusForbidden, Title: "No configuration id for remote content",
		Detail: "You did not send any configuration id for your remote content in " +
			"third_party_data"}
	configurationNotFound = problem.Problem{Type: "configuration-not-found",
		Status: http.StatusNotFound, Title: "Configuration not found",
		Detail: "No configuration of remote content has the configuration_id of third_party_data."}
	notYourConfiguration = problem.Problem{Type: "configuration-of-another",
		Status: http.StatusForbidden, Title: "Not your configuration",
		Detail: "The configuration_id of third_party_data is another institution's."}
	attachmentsForbidden = problem.Problem{Type: "attachments-forbidden",
		Status: http.StatusForbidden, Title: "Attachments call forbidden",
		Detail: "You are not allowed to send messages with attachmens with STANDARD messages, " +
			"please use ADVANCED"}

	profileNotFound = problem.Problem{Type: "profile-not-found", Status: http.StatusNotFound,
		Title: "Profile not found", Detail: "The profile you requested was not found in the system."}
	messageNotFound = problem.Problem{Type: "message-not-found", Status: http.StatusNotFound,
		Title:  "Message not found",
		Detail: "The message that you requested was not found in the system."}
	// bulkTimeout is of bulk requests alone.
	bulkTimeout = problem.Problem{Type: "bulk-timeout", Status: http.StatusRequestTimeout,
		Title: "Request timeout", Detail: fmt.Sprintf("Nothing was sent or read for %d seconds. "+
			"This line, and those after it, were not taken.", int(bulkIdle.Seconds()))}
	keyConflict = problem.Problem{Type: "idempotency-conflict", Status: http.StatusConflict,
		Title: "Conflict", Detail: "The Idempotency-Key was used for another message to this " +
			"recipient."}
	addressUnknown = problem.Problem{Type: "source-address-unknown",
		Status: http.StatusInternalServerError, Title: "Internal server error",
		Detail: "IP address cannot be extracted from the request"}
)

// Problems lists what this API can answer besides problem.Common.
func Problems() []problem.Problem {
	return []problem.Problem{malformedJSON, invalidMessage, invalidFiscalCode, invalidPayload,
		invalidIdempotencyKey, badParameters, amountExceeded, noValidScope, scopeMissing,
		sourceForbidden, notSender, recipientForbidden, noConfiguration,
		configurationNotFound, notYourConfiguration, attachmentsForbidden,
		profileNotFound, messageNotFound, bulkTimeout, keyConflict, addressUnknown,
		keyMissing.Problem, keyInvalid.Problem, rateExceeded, streamsExceeded}
}

// typeFiscalCode is the contract's name of the type.
const typeFiscalCode = `string that matches the pattern "` + fiscalcode.Pattern + `"`

func amountOver(amount, max uint64) problem.Problem {
	return amountExceeded.With(fmt.Sprintf("The requested amount (%d cents) exceeds the maximum "+
		"allowed for this service (%d cents)", amount, max))
}

// gatewayRefusal is a problem that the contract's gateway answers in a form of its own, 401 and 429
// as {statusCode, message}. Who accepts problem details by name gets them.
type gatewayRefusal struct{ problem.Problem }

var (
	keyMissing = gatewayRefusal{problem.Problem{Type: "subscription-key-missing",
		Status: http.StatusUnauthorized, Title: "Unauthorized", Detail: "Access denied due to " +
			"missing subscription key. Make sure to include subscription key when making " +
			"requests to an API."}}
	keyInvalid = gatewayRefusal{problem.Problem{Type: "subscription-key-invalid",
		Status: http.StatusUnauthorized, Title: "Unauthorized", Detail: "Access denied due to " +
			"invalid subscription key. Make sure to provide a valid key for an active " +
			"subscription."}}
	rateExceeded = problem.Problem{Type: "rate-limit-exceeded",
		Status: http.StatusTooManyRequests, Title: "Too many requests"}
	streamsExceeded = problem.Problem{Type: "bulk-requests-exceeded",
		Status: http.StatusTooManyRequests, Title: "Too many requests"}
)

// gatewayBody is a gatewayRefusal as it is answered: the contract's members, and what names the
// cause.
type gatewayBody struct {
	StatusCode int    `json:"statusCode"`
	Message    string `json:"message"`
	Title      string `json:"title"`
	Type       string `json:"type"`
}

func (g gatewayRefusal) write(w http.ResponseWriter, r *http.Request) {
	if problem.Accepts(r, problem.MediaType) {
		problem.Write(w, g.Problem)
		return
	}
	problem.WriteJSON(w, g.Status, gatewayBody{g.Status, g.Detail, g.Title, g.Type.URN()})
}
