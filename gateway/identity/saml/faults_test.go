package saml

import (
	"testing"

	"github.com/staffetta/staffetta/gateway/identity"
	testidp "github.com/staffetta/staffetta/internal/testidp/saml"
)

// refusals are how each fault of the test provider is refused: why, and in which words.
var refusals = map[string]struct {
	reason identity.Reason
	words  string
}{
	"version":                {identity.Invalid, "Version is not 2.0"},
	"response-id-missing":    {identity.Invalid, "has no ID"},
	"destination-other":      {identity.Invalid, "Destination"},
	"destination-missing":    {identity.Invalid, "Destination"},
	"in-response-to-other":   {identity.Invalid, "the response: its InResponseTo"},
	"in-response-to-missing": {identity.Invalid, "the response: its InResponseTo"},
	"issuer-other":           {identity.Invalid, "the response: its Issuer is not the provider"},
	"issuer-missing":         {identity.Invalid, "the response: 0 elements Issuer"},
	"issuer-format":          {identity.Invalid, "the response: its Issuer is not in the format"},
	"issued-in-future":       {identity.Invalid, "the response: its IssueInstant is in the future"},
	"issued-before-request":  {identity.Invalid, "the response: its IssueInstant is before"},
	"issued-missing":         {identity.Invalid, "IssueInstant of Response is missing"},
	"issued-without-zone":    {identity.Invalid, "IssueInstant of Response is no time"},

	"assertion-issuer-other":          {identity.Invalid, "the assertion: its Issuer is not the provider"},
	"assertion-issuer-format-missing": {identity.Invalid, "the assertion: its Issuer is not in the format"},
	"assertion-issued-in-future":      {identity.Invalid, "the assertion: its IssueInstant is in the future"},
	"assertion-issued-before-request": {identity.Invalid, "the assertion: its IssueInstant is before"},
	"assertion-issued-missing":        {identity.Invalid, "IssueInstant of Assertion is missing"},
	"name-empty":                      {identity.Invalid, "NameID is empty"},
	"name-persistent":                 {identity.Invalid, "NameID is not transient"},
	"name-unqualified":                {identity.Invalid, "NameQualifier"},
	"confirmation-method":             {identity.Invalid, "bearer"},
	"recipient-other":                 {identity.Invalid, "Recipient"},
	"recipient-missing":               {identity.Invalid, "Recipient"},
	"confirms-other":                  {identity.Invalid, "its subject's InResponseTo"},
	"confirms-missing":                {identity.Invalid, "its subject's InResponseTo"},
	"confirmed-until-missing":         {identity.Invalid, "NotOnOrAfter of SubjectConfirmationData is missing"},
	"confirmed-expired":               {identity.Invalid, "its subject's NotOnOrAfter has passed"},
	"confirmed-from":                  {identity.Invalid, "SubjectConfirmationData has a NotBefore"},
	"not-before-missing":              {identity.Invalid, "NotBefore of Conditions is missing"},
	"not-yet-valid":                   {identity.Invalid, "NotBefore is in the future"},
	"not-on-or-after-missing":         {identity.Invalid, "NotOnOrAfter of Conditions is missing"},
	"expired":                         {identity.Invalid, "the assertion: its NotOnOrAfter has passed"},
	"audience-other":                  {identity.Invalid, "Audience is not this federation"},
	"audience-missing":                {identity.Invalid, "0 elements AudienceRestriction"},
	"condition-unknown":               {identity.Invalid, "ProxyRestriction is not known"},
	"level-missing":                   {identity.Weak, "0 elements AuthnContextClassRef"},
	"level-unknown":                   {identity.Weak, "no level of SPID"},
	"level-below":                     {identity.Weak, "below the one"},
	"assertion-missing":               {identity.Invalid, "0 elements Assertion"},

	"attributes-none":          {identity.Incomplete, "attributes is empty"},
	"attribute-empty":          {identity.Incomplete, "AttributeValue is empty"},
	"attribute-twice":          {identity.Incomplete, "twice"},
	"fiscal-number-bare":       {identity.NotPerson, "TINIT-"},
	"fiscal-number-vat":        {identity.NotPerson, "TINIT-"},
	"fiscal-number-11-digits":  {identity.NotPerson, "16 characters"},
	"fiscal-number-lower-case": {identity.NotPerson, "16 characters"},
	"fiscal-number-look-alike": {identity.NotPerson, "16 characters"},
	"company-only":             {identity.NotPerson, "missing"},
	"minor":                    {identity.Young, "age"},

	"error-nr08":     {identity.Denied, "nr08"},
	"error-nr19":     {identity.Credentials, "nr19"},
	"error-nr20":     {identity.NoLevel, "nr20"},
	"error-nr21":     {identity.Timeout, "nr21"},
	"error-nr22":     {identity.NoConsent, "nr22"},
	"error-nr23":     {identity.Suspended, "nr23"},
	"error-nr25":     {identity.Cancelled, "nr25"},
	"error-nr30":     {identity.NotPerson, "nr30"},
	"error-unnamed":  {identity.Denied, "not success"},
	"status-missing": {identity.Invalid, "no code"},

	"unsigned":                   {identity.Invalid, "not signed"},
	"signed-around-only":         {identity.Invalid, "the assertion is not signed"},
	"sha1":                       {identity.Invalid, "algorithm is none of those"},
	"hmac":                       {identity.Invalid, "algorithm is none of those"},
	"signature-none":             {identity.Invalid, "algorithm is none of those"},
	"digest-sha1":                {identity.Invalid, "digest is none of those"},
	"canonicalization-inclusive": {identity.Invalid, "canonicalization is not"},
	"transform-xslt":             {identity.Invalid, "transforms are not the two"},
	"reference-to-all":           {identity.Invalid, "about another element"},
	"reference-twice":            {identity.Invalid, "one reference"},
	"signature-object":           {identity.Invalid, "Object is out of place"},
	"signature-value-empty":      {identity.Invalid, "SignatureValue is empty"},
	"changed":                    {identity.Invalid, "by none of the provider's certificates"},
	"stranger":                   {identity.Invalid, "by none of the provider's certificates"},
	"stranger-disguised":         {identity.Invalid, "by none of the provider's certificates"},
	"response-signature-wrong":   {identity.Invalid, "the response: the signature is by none"},

	"comment":                    {identity.Invalid, "comment or CDATA"},
	"cdata":                      {identity.Invalid, "comment or CDATA"},
	"instruction":                {identity.Invalid, "processing instruction"},
	"value-nested":               {identity.Invalid, "by none of the provider's certificates"},
	"doctype":                    {identity.Invalid, "document type"},
	"billion-laughs":             {identity.Invalid, "document type"},
	"external-entity":            {identity.Invalid, "document type"},
	"stylesheet":                 {identity.Invalid, "processing instruction"},
	"encoding-utf7":              {identity.Invalid, "XML declaration"},
	"encoding-utf16":             {identity.Invalid, "not UTF-8"},
	"text-before":                {identity.Invalid, "text outside"},
	"two-roots":                  {identity.Invalid, "two roots"},
	"not-xml":                    {identity.Invalid, "not well-formed"},
	"empty":                      {identity.Invalid, "not well-formed"},
	"too-long":                   {identity.Invalid, "bytes, at most"},
	"attribute-of-element-twice": {identity.Invalid, "an attribute twice"},
	"too-deep":                   {identity.Invalid, "deeper than"},
	"too-many-elements":          {identity.Invalid, "more than 400 elements"},
	"foreign-element":            {identity.Invalid, "namespace"},
	"response-other-element":     {identity.Invalid, "no SAML Response"},
	"two-ids":                    {identity.Invalid, "two elements of one ID"},
	"encrypted-assertion":        {identity.Invalid, "EncryptedAssertion"},
	"two-assertions":             {identity.Invalid, "more than one Assertion"},
	"same-assertion-twice":       {identity.Invalid, "more than one Assertion"},

	"wrapped-1": {identity.Invalid, "Response within a Response"},
	"wrapped-2": {identity.Invalid, "Response within a Response"},
	"wrapped-3": {identity.Invalid, "more than one Assertion"},
	"wrapped-4": {identity.Invalid, "more than one Assertion"},
	"wrapped-5": {identity.Invalid, "more than one Assertion"},
	"wrapped-6": {identity.Invalid, "more than one Assertion"},
	"wrapped-7": {identity.Invalid, "an Assertion out of its place"},
	"wrapped-8": {identity.Invalid, "more than one Assertion"},
}

// TestFaults: every fault of the test provider is refused, for the reason that it has.
func TestFaults(t *testing.T) {
	f := newFixture(t, providerKey(), nil)
	l := f.begin(t, identity.Level2, "")
	rules := identity.Rules{AgeMin: 14, Now: f.clock.now}
	seen := map[string]bool{}
	for _, fault := range testidp.Faults() {
		seen[fault.Name] = true
		t.Run(fault.Name, func(t *testing.T) {
			want, known := refusals[fault.Name]
			if !known {
				t.Fatal("nobody says how it is refused")
			}
			assertion, err := l.finish(l.answer(t, fault))
			if err == nil {
				_, err = rules.Accept(f.entity.Providers()[0].Info(), assertion,
					identity.Asked{Level: identity.Level2})
			}
			refused(t, err, want.reason, want.words)
		})
	}
	for name := range refusals {
		if !seen[name] {
			t.Errorf("the test provider has no fault %s", name)
		}
	}
	if _, err := l.finish(l.answer(t)); err != nil {
		t.Errorf("without a fault: %v", err)
	}
}
