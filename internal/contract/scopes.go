package contract

import "slices"

// Scopes are the groups that the contract gives institutions.
var Scopes = []string{"ApiInfoRead", "ApiLimitedMessageWrite", "ApiLimitedProfileRead",
	"ApiMessageRead", "ApiMessageReadAdvanced", "ApiMessageWrite", "ApiMessageWriteAdvanced",
	"ApiMessageWriteDefaultAddress", "ApiMessageWriteEUCovidCert", "ApiMessageWriteWithLegalData",
	"ApiMessageWriteWithPayee", "ApiNoRateLimit", "ApiRateLimit250",
	"ApiRemoteContentConfigurationWrite", "ApiServiceList", "ApiServiceRead", "ApiServiceWrite",
	"ApiSubscriptionsFeedRead", "ApiThirdPartyMessageWrite"}

// KnownScope reports whether a scope is one of the contract's: one that is not gives nobody
// anything, which an operator who mistyped it would want to know.
func KnownScope(s string) bool { return slices.Contains(Scopes, s) }
