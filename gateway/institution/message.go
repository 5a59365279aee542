package institution

import (
	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/wire"
)

// timeToLiveDefault is the contract's, in seconds.
const timeToLiveDefault = 3600

// newMessage is the contract's NewMessage, decoded and valid.
type newMessage struct {
	fiscalCode fiscalcode.Code // empty: not in the body
	timeToLive uint32
	level      wire.FeatureLevel
	content    wire.Content
	payeeGiven bool

	key string // the member's; empty: none

	// What content points to, so that decoding allocates strings only.
	secure      wire.Flag
	due         wire.Date
	payment     wire.Payment
	third       wire.ThirdParty
	receipt     wire.Date
	certificate wire.EUCovidCert
}

// sizeHint is about the size of the encoded content.
func (m *newMessage) sizeHint() int {
	return len(m.content.Subject) + len(m.content.Markdown) + len(m.third.ID) +
		len(m.third.Summary) + len(m.third.OriginalSender) + 128
}

// decodeMessage reads a NewMessage from the decoder's body. Errors are problems.
func (d *decoder) decodeMessage(m *newMessage) error {
	if err := d.begin(); err != nil {
		return err
	}
	*m = newMessage{timeToLive: timeToLiveDefault}
	if d.enter("root", "NewMessage") {
		d.messageMembers(m)
		d.leave()
	}
	return d.end()
}

func (d *decoder) messageMembers(m *newMessage) {
	content := false
	for d.member() {
		switch string(d.name) {
		case "fiscal_code":
			m.fiscalCode = fiscalcode.Code(d.text("fiscal_code", &fiscalCodeRule))
		case "time_to_live":
			if !d.null() {
				m.timeToLive = uint32(d.integer("time_to_live", 3600, 604800))
			}
		case "feature_level_type":
			if !d.null() && d.text("feature_level_type", &levelRule) == "ADVANCED" {
				m.level = wire.Advanced
			}
		case "default_addresses":
			d.defaultAddresses()
		case "content":
			content = true
			d.content(m)
		case idempotencyMember:
			m.key = d.idempotencyKey()
		default:
			d.unknown()
		}
	}
	if !content {
		d.missing("content", "MessageContent")
	}
}

// idempotencyKey reads the member that names a message among a service's to one recipient.
func (d *decoder) idempotencyKey() string {
	value := d.value(idempotencyMember, &textRule)
	if value == nil {
		return ""
	}
	key, ok := parseKey(string(value))
	if !ok {
		d.keyFault = detailMemberKey
	}
	return key
}

// unknown passes over a member that the contract does not have, as the contract does; but not
// over one that was meant to be the idempotency key.
func (d *decoder) unknown() {
	if namesKey(d.name) {
		d.keyFault = detailMisplacedKey
	}
	d.skip()
}

// defaultAddresses checks the shape that the contract checks. What an address is, it says otherwise
// than mail servers do; since it has no effect, any text is one.
func (d *decoder) defaultAddresses() {
	if !d.enter("default_addresses", "NewMessageDefaultAddresses") {
		return
	}
	for d.member() {
		switch string(d.name) {
		case "email":
			d.text("email", &textRule)
		default:
			d.unknown()
		}
	}
	d.leave()
}

func (d *decoder) content(m *newMessage) {
	if !d.enter("content", "MessageContent") {
		return
	}
	c := &m.content
	subject, markdown := false, false
	for d.member() {
		switch string(d.name) {
		case "subject":
			subject = true
			c.Subject = d.text("subject", &subjectRule)
		case "markdown":
			markdown = true
			c.Markdown = d.text("markdown", &markdownRule)
		case "require_secure_channels":
			m.secure.Set = d.boolean("require_secure_channels")
			c.RequireSecureChannels = &m.secure
		case "due_date":
			m.due.At = d.timestamp("due_date")
			c.DueDate = &m.due
		case "payment_data":
			d.payment(m)
		case "third_party_data":
			d.thirdParty(m)
		case "eu_covid_cert":
			d.certificate(m)
		default:
			d.unknown()
		}
	}
	if !subject {
		d.missing("subject", subjectRule.name)
	}
	if !markdown {
		d.missing("markdown", markdownRule.name)
	}
	d.leave()
}

func (d *decoder) payment(m *newMessage) {
	if !d.enter("payment_data", "PaymentData") {
		return
	}
	p := &m.payment
	m.content.Payment = p
	amount, notice := false, false
	for d.member() {
		switch string(d.name) {
		case "amount":
			amount = true
			p.Amount = d.integer("amount", 1, 9999999999)
		case "notice_number":
			notice = true
			p.NoticeNumber = d.text("notice_number", &noticeRule)
		case "invalid_after_due_date":
			if !d.null() {
				p.InvalidAfterDueDate = d.boolean("invalid_after_due_date")
			}
		case "payee":
			m.payeeGiven = true
			d.payee(p)
		default:
			d.unknown()
		}
	}
	if !amount {
		d.missing("amount", integerType(1, 9999999999))
	}
	if !notice {
		d.missing("notice_number", noticeRule.name)
	}
	d.leave()
}

func (d *decoder) payee(p *wire.Payment) {
	if !d.enter("payee", "Payee") {
		return
	}
	code := false
	for d.member() {
		switch string(d.name) {
		case "fiscal_code":
			code = true
			p.Payee = wire.InstitutionID(d.text("fiscal_code", &organizationRule))
		default:
			d.unknown()
		}
	}
	if !code {
		d.missing("fiscal_code", organizationRule.name)
	}
	d.leave()
}

func (d *decoder) thirdParty(m *newMessage) {
	if !d.enter("third_party_data", "ThirdPartyData") {
		return
	}
	t := &m.third
	m.content.ThirdParty = t
	id := false
	for d.member() {
		switch string(d.name) {
		case "id":
			id = true
			t.ID = d.text("id", &nonEmptyRule)
		case "configuration_id":
			t.ConfigurationID = d.text("configuration_id", &configurationRule)
		case "has_remote_content":
			if !d.null() {
				t.HasRemoteContent = d.boolean("has_remote_content")
			}
		case "has_attachments":
			if !d.null() {
				t.HasAttachments = d.boolean("has_attachments")
			}
		case "has_precondition":
			t.HasPrecondition = d.text("has_precondition", &preconditionRule)
		case "original_sender":
			t.OriginalSender = d.text("original_sender", &nonEmptyRule)
		case "original_receipt_date":
			m.receipt.At = d.timestamp("original_receipt_date")
			t.OriginalReceiptDate = &m.receipt
		case "summary":
			t.Summary = d.text("summary", &nonEmptyRule)
		default:
			d.unknown()
		}
	}
	if !id {
		d.missing("id", nonEmptyRule.name)
	}
	d.leave()
}

func (d *decoder) certificate(m *newMessage) {
	if !d.enter("eu_covid_cert", "EUCovidCert") {
		return
	}
	m.content.EUCovidCert = &m.certificate
	code := false
	for d.member() {
		switch string(d.name) {
		case "auth_code":
			code = true
			m.certificate.AuthCode = d.text("auth_code", &textRule)
		default:
			d.unknown()
		}
	}
	if !code {
		d.missing("auth_code", textRule.name)
	}
	d.leave()
}
