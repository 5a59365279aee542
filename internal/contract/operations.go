package contract

import (
	"slices"
	"strings"
)

// Operation is one operation of IO's public contract: what is true of it whether it is served
// here or not. The facts are those of PagoPA's public OpenAPI documents, in our own form:
// io-functions-services 3.32.0 and 4.1.1, io-functions-commons definitions_v3, io-services-cms
// 1.23.0 and io-messages 2.1.9 for institutions; the four documents that the app's client is
// generated from (io-backend 20, session manager 1.23.1, app-backend 3.1.0) for citizens.
type Operation struct {
	Method string
	// Path is whole, with the contract's base path and its names of the parts that vary.
	Path string
	// Answer is what a successful answer's JSON may hold: names, those of an object's own members
	// in braces behind its name, of the elements of an array likewise; a name with * may hold
	// anything. Empty for an operation that is not served here.
	Answer string
}

// Page is the Answer of an operation that leads a browser on, and has no JSON.
const Page = "page"

// Shapes that answers share.
const (
	thirdParty = "third_party_data{id configuration_id original_sender original_receipt_date " +
		"has_attachments has_remote_content has_precondition summary}"
	content = "content{subject markdown require_secure_channels due_date " +
		"payment_data{amount notice_number invalid_after_due_date payee{fiscal_code}} " +
		thirdParty + " eu_covid_cert{auth_code}}"
	head    = "id fiscal_code created_at sender_service_id time_to_live"
	created = "message{" + head + " feature_level_type " + content + "} status read_status " +
		"payment_status notification{email webhook}"
	limitedProfile = "sender_allowed preferred_languages"
	inboxItem      = head + " service_name organization_name organization_fiscal_code " +
		"message_title has_attachments has_precondition is_read is_archived category{tag rptId id " +
		"original_sender original_receipt_date has_attachments has_remote_content " +
		"has_precondition summary configuration_id}"
	profile = "accepted_tos_version email blocked_inbox_or_channels* preferred_languages " +
		"is_inbox_enabled is_email_validated is_email_enabled is_email_already_taken " +
		"reminder_status push_notifications_content_type is_webhook_enabled family_name " +
		"fiscal_code has_profile last_app_version name spid_email date_of_birth " +
		"service_preferences_settings{mode} version"
	preference = "is_email_enabled is_inbox_enabled is_webhook_enabled settings_version " +
		"can_access_message_read_status"
)

// Institutions are the operations that institutions know.
var Institutions = under("/api/v1", []Operation{
	{"POST", "/messages", "id"},
	{"POST", "/messages/{fiscal_code}", "id"},
	{"GET", "/messages/{fiscal_code}/{id}", created},
	{"POST", "/profiles", limitedProfile},
	{"GET", "/profiles/{fiscal_code}", limitedProfile},
	{"GET", "/subscriptions-feed/{date}", ""},
	{"PUT", "/organizations/{organization_fiscal_code}/logo", ""},
	{"POST", "/activations", ""},
	{"PUT", "/activations", ""},

	{"POST", "/services", ""},
	{"GET", "/services", ""},
	{"GET", "/services/{service_id}", ""},
	{"PUT", "/services/{service_id}", ""},
	{"PUT", "/services/{service_id}/logo", ""},
	{"PUT", "/services/{service_id}/keys", ""},

	{"POST", "/manage/services", ""},
	{"GET", "/manage/services", ""},
	{"GET", "/manage/services/topics", ""},
	{"GET", "/manage/services/{service_id}", ""},
	{"PUT", "/manage/services/{service_id}", ""},
	{"PATCH", "/manage/services/{service_id}", ""},
	{"DELETE", "/manage/services/{service_id}", ""},
	{"PUT", "/manage/services/{service_id}/logo", ""},
	{"GET", "/manage/services/{service_id}/history", ""},
	{"GET", "/manage/services/{service_id}/keys", ""},
	{"PUT", "/manage/services/{service_id}/keys/{key_type}", ""},
	{"PUT", "/manage/services/{service_id}/review", ""},
	{"POST", "/manage/services/{service_id}/release", ""},
	{"GET", "/manage/services/{service_id}/release", ""},
	{"DELETE", "/manage/services/{service_id}/release", ""},

	{"POST", "/messages-sending/remote-contents/configurations", ""},
	{"GET", "/messages-sending/remote-contents/configurations", ""},
	{"GET", "/messages-sending/remote-contents/configurations/{id}", ""},
	{"PUT", "/messages-sending/remote-contents/configurations/{id}", ""},
})

// Citizens are the operations that the citizens' app knows.
var Citizens = slices.Concat(
	under("/api/auth/v1", []Operation{
		{"POST", "/test-login", "token"},
		{"GET", "/session", "spidLevel expirationDate lollipopAssertionRef walletToken " +
			"myPortalToken bpdToken zendeskToken fimsToken"},
		{"POST", "/logout", "message"},
		{"GET", "/login", Page},
		{"POST", "/assertionConsumerService", Page},
		{"GET", "/metadata", ""},
		{"GET", "/user-identity", "name family_name fiscal_code date_of_birth spid_level " +
			"spid_email spid_idp assertion_ref session_tracking_id created_at token_remaining_ttl"},
		{"GET", "/healthcheck", "version"},
		{"POST", "/fast-login", ""},
		{"POST", "/fast-login/nonce/generate", ""},
	}),
	under("/api/identity/v1", []Operation{
		{"GET", "/profile", profile},
		{"POST", "/profile", profile},
		{"GET", "/services/{service_id}/preferences", preference},
		{"POST", "/services/{service_id}/preferences", preference},
		{"POST", "/email-validation-process", ""},
		{"POST", "/user-data-processing", ""},
		{"GET", "/user-data-processing/{choice}", ""},
		{"DELETE", "/user-data-processing/{choice}", ""},
		{"POST", "/first-lollipop/sign", "response"},
	}),
	under("/api/communication/v1", []Operation{
		{"GET", "/messages", "items{" + inboxItem + "} prev next"},
		{"GET", "/messages/{id}", inboxItem + " " + content},
		{"PUT", "/messages/{id}/status", "is_read is_archived"},
		{"GET", "/third-party-messages/{id}/precondition", "title markdown"},
		{"GET", "/third-party-messages/{id}", head + " " + content +
			" third_party_message{attachments{id url content_type name category} details*}"},
		{"GET", "/third-party-messages/{id}/attachments/{attachment_url...}", "*"},
		{"GET", "/send/activation", ""},
		{"POST", "/send/activation", ""},
		{"PUT", "/installations/{installation_id}", ""},
		{"GET", "/payment/info/{rpt_id}", ""},
	}),
	under("/api/catalog/v1", []Operation{
		{"GET", "/institutions", "institutions{id name fiscal_code} offset limit count"},
		{"GET", "/institutions/featured", "institutions{id name fiscal_code}"},
		{"GET", "/institutions/{institution_id}/services",
			"services{id name version} offset limit count"},
		{"GET", "/services/featured", "services{id name version organization_name}"},
		{"GET", "/services/{service_id}", "id name description organization{name fiscal_code} " +
			"metadata{scope category custom_special_flow web_url app_ios app_android tos_url " +
			"privacy_url address phone email pec cta token_name support_url}"},
	}),
)

func under(base string, list []Operation) []Operation {
	for i := range list {
		list[i].Path = base + list[i].Path
	}
	return list
}

// Pattern is the operation as http.ServeMux takes it.
func (o *Operation) Pattern() string { return o.Method + " " + o.Path }

// Find returns the operation of either contract that a request is for; nil when there is none.
func Find(method, path string) *Operation {
	path = strings.TrimSuffix(path, "/")
	var found *Operation
	for _, list := range [][]Operation{Institutions, Citizens} {
		for i := range list {
			o := &list[i]
			// Of two that match, the one with fewer parts that vary.
			if o.Method == method && matches(o.Path, path) && (found == nil ||
				strings.Count(o.Path, "{") < strings.Count(found.Path, "{")) {
				found = o
			}
		}
	}
	return found
}

func matches(template, path string) bool {
	parts, have := strings.Split(template, "/"), strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasSuffix(p, "...}") {
			return len(have) > i
		}
		if i >= len(have) || p != have[i] && p[:min(1, len(p))] != "{" {
			return false
		}
	}
	return len(parts) == len(have)
}
