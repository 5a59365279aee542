package institution

import (
	"bytes"

	"github.com/staffetta/staffetta/internal/fiscalcode"
	"github.com/staffetta/staffetta/internal/strictjson"
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
	configured bool // what the institution keeps of it can be fetched

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
	if d.scanMessage(m) {
		return nil
	}
	return d.readMessage(m)
}

// readMessage is decodeMessage for any body.
func (d *decoder) readMessage(m *newMessage) error {
	*m = newMessage{timeToLive: timeToLiveDefault}
	if err := d.begin(); err != nil {
		return err
	}
	if d.Enter("root", "NewMessage") {
		d.messageMembers(m)
		d.Leave()
	}
	return d.end(invalidMessage)
}

func (d *decoder) messageMembers(m *newMessage) {
	content := false
	for d.Member() {
		switch string(d.Name) {
		case "fiscal_code":
			m.fiscalCode = fiscalcode.Code(d.Text("fiscal_code", &fiscalCodeRule))
		case "time_to_live":
			if !d.Null() {
				m.timeToLive = uint32(d.Integer("time_to_live", 3600, 604800))
			}
		case "feature_level_type":
			if !d.Null() && d.Text("feature_level_type", &levelRule) == "ADVANCED" {
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
		d.Missing("content", "MessageContent")
	}
}

// idempotencyKey reads the member that names a message among a service's to one recipient.
func (d *decoder) idempotencyKey() string {
	value := d.Value(idempotencyMember, &textRule)
	if value == nil {
		return ""
	}
	key, ok := parseKey(string(value))
	if !ok {
		d.keyFault = detailMemberKey
		if bytes.HasPrefix(value, []byte{'"'}) {
			d.keyFault = detailQuotedKey
		}
	}
	return key
}

// unknown passes over a member that the contract does not have, as the contract does; but not
// over one that was meant to be the idempotency key.
func (d *decoder) unknown() {
	if namesKey(d.Name) {
		d.keyFault = detailMisplacedKey
	}
	d.Skip()
}

// defaultAddresses checks the shape that the contract checks. What an address is, it says otherwise
// than mail servers do; since it has no effect, any text is one.
func (d *decoder) defaultAddresses() {
	if !d.Enter("default_addresses", "NewMessageDefaultAddresses") {
		return
	}
	for d.Member() {
		switch string(d.Name) {
		case "email":
			d.Text("email", &textRule)
		default:
			d.unknown()
		}
	}
	d.Leave()
}

func (d *decoder) content(m *newMessage) {
	if !d.Enter("content", "MessageContent") {
		return
	}
	c := &m.content
	subject, markdown := false, false
	for d.Member() {
		switch string(d.Name) {
		case "subject":
			subject = true
			c.Subject = d.Text("subject", &subjectRule)
		case "markdown":
			markdown = true
			c.Markdown = d.Text("markdown", &markdownRule)
		case "require_secure_channels":
			m.secure.Set = d.Bool("require_secure_channels")
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
		d.Missing("subject", subjectRule.Name)
	}
	if !markdown {
		d.Missing("markdown", markdownRule.Name)
	}
	d.Leave()
}

func (d *decoder) payment(m *newMessage) {
	if !d.Enter("payment_data", "PaymentData") {
		return
	}
	p := &m.payment
	m.content.Payment = p
	amount, notice := false, false
	for d.Member() {
		switch string(d.Name) {
		case "amount":
			amount = true
			p.Amount = d.Integer("amount", 1, 9999999999)
		case "notice_number":
			notice = true
			p.NoticeNumber = d.Text("notice_number", &noticeRule)
		case "invalid_after_due_date":
			if !d.Null() {
				p.InvalidAfterDueDate = d.Bool("invalid_after_due_date")
			}
		case "payee":
			m.payeeGiven = true
			d.payee(p)
		default:
			d.unknown()
		}
	}
	if !amount {
		d.Missing("amount", strictjson.IntegerType(1, 9999999999))
	}
	if !notice {
		d.Missing("notice_number", noticeRule.Name)
	}
	d.Leave()
}

func (d *decoder) payee(p *wire.Payment) {
	if !d.Enter("payee", "Payee") {
		return
	}
	code := false
	for d.Member() {
		switch string(d.Name) {
		case "fiscal_code":
			code = true
			p.Payee = wire.InstitutionID(d.Text("fiscal_code", &organizationRule))
		default:
			d.unknown()
		}
	}
	if !code {
		d.Missing("fiscal_code", organizationRule.Name)
	}
	d.Leave()
}

func (d *decoder) thirdParty(m *newMessage) {
	if !d.Enter("third_party_data", "ThirdPartyData") {
		return
	}
	t := &m.third
	m.content.ThirdParty = t
	id := false
	for d.Member() {
		switch string(d.Name) {
		case "id":
			id = true
			t.ID = d.Text("id", &nonEmptyRule)
		case "configuration_id":
			t.ConfigurationID = d.Text("configuration_id", &configurationRule)
		case "has_remote_content":
			if !d.Null() {
				t.HasRemoteContent = d.Bool("has_remote_content")
			}
		case "has_attachments":
			if !d.Null() {
				t.HasAttachments = d.Bool("has_attachments")
			}
		case "has_precondition":
			t.HasPrecondition = d.Text("has_precondition", &preconditionRule)
		case "original_sender":
			t.OriginalSender = d.Text("original_sender", &nonEmptyRule)
		case "original_receipt_date":
			m.receipt.At = d.timestamp("original_receipt_date")
			t.OriginalReceiptDate = &m.receipt
		case "summary":
			t.Summary = d.Text("summary", &nonEmptyRule)
		default:
			d.unknown()
		}
	}
	if !id {
		d.Missing("id", nonEmptyRule.Name)
	}
	d.Leave()
}

func (d *decoder) certificate(m *newMessage) {
	if !d.Enter("eu_covid_cert", "EUCovidCert") {
		return
	}
	m.content.EUCovidCert = &m.certificate
	code := false
	for d.Member() {
		switch string(d.Name) {
		case "auth_code":
			code = true
			m.certificate.AuthCode = d.Text("auth_code", &textRule)
		default:
			d.unknown()
		}
	}
	if !code {
		d.Missing("auth_code", textRule.Name)
	}
	d.Leave()
}
