package wire

import "github.com/staffetta/staffetta/internal/codec"

// DeleteMessage removes a message of the session's citizen from the inbox, for ever. A second copy
// finds it done. NotFound when it never was in the citizen's inbox.
type DeleteMessage struct {
	Token TokenHash
	ID    MessageID
}

// Fields declares the message.
func (d *DeleteMessage) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, d.Token[:])
	codec.Fixed(c, 2, d.ID[:])
}

// MessageCounts says how many messages the session's citizen has.
type MessageCounts struct {
	Inbox    uint32 // that are not archived
	Unread   uint32 // of Inbox
	Archived uint32
	// More: there are more messages than are counted, the oldest ones.
	More bool
}

// Fields declares the message.
func (m *MessageCounts) Fields(c *codec.Codec) {
	codec.Uint(c, 1, &m.Inbox)
	codec.Uint(c, 2, &m.Unread)
	codec.Uint(c, 3, &m.Archived)
	codec.Bool(c, 4, &m.More)
}

// SearchInbox asks for messages of the session's citizen, archived or not, newest id first, that
// have each word of a query in their title, text, or sender's names. The answer is an InboxPage.
type SearchInbox struct {
	Token  TokenHash
	Query  string // see SearchBytesMax
	Size   uint32 // 1-PageMax
	Before MessageID
}

// SearchBytesMax and SearchWordsMax bound a query, which has one word at least.
const (
	SearchBytesMax = 256
	SearchWordsMax = 8
)

// Fields declares the message.
func (s *SearchInbox) Fields(c *codec.Codec) {
	codec.Fixed(c, 1, s.Token[:])
	codec.String(c, 2, &s.Query)
	codec.Uint(c, 3, &s.Size)
	codec.Fixed(c, 4, s.Before[:])
}
