package web

import (
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/staffetta/staffetta/gateway/remote"
)

// attachment hands a document of a message on, for the browser to keep and never to show: it is
// another's. The institution's list is read again, so that no address says what it is asked for,
// or what the file is called.
func (c *call) attachment() error {
	if isAhead(c.R.Header) {
		return errAhead
	}
	got, err := c.getMessage()
	if err != nil {
		return err
	}
	if third := got.Content.ThirdParty; third == nil || !third.HasAttachments {
		return errAbsent
	}
	from, asks, err := c.remoteOf(got)
	if err != nil {
		return err
	}
	if asks {
		return redirect(pathInbox + "/" + got.Item.ID.String())
	}
	content, err := from.Content(c.R.Context())
	if err != nil {
		return err
	}
	id := c.R.URL.Query().Get("id")
	i := slices.IndexFunc(content.Attachments, func(a remote.Attachment) bool { return a.ID == id })
	if i < 0 {
		return errAbsent
	}
	a, begun := &content.Attachments[i], false
	err = from.Attachment(c.R.Context(), strings.TrimPrefix(a.URL, "/"), func(size int64) io.Writer {
		begun = true
		h := c.W.Header()
		h.Set("Content-Type", "application/pdf")
		h.Set("Content-Disposition", mime.FormatMediaType("attachment",
			map[string]string{"filename": fileName(a.Name)}))
		h.Set("X-Content-Type-Options", "nosniff")
		if size >= 0 {
			h.Set("Content-Length", strconv.FormatInt(size, 10))
		}
		c.W.WriteHeader(http.StatusOK)
		return c.W
	})
	if err != nil && begun { // nobody must take a part for the whole
		panic(http.ErrAbortHandler)
	}
	return err
}

// fileRunesMax bounds a file's name, without its ending: file systems take 255 bytes.
const fileRunesMax = 60

// fileName is an institution's name for a document as the name of a file: no path, nothing that a
// file system or a shell of some kind takes for something else, and with the only ending that the
// content has.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\:*?"<>|%;'`+"`$&", r) || unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, plain(strings.ToValidUTF8(s, "")))
	s = strings.Join(strings.Fields(s), " ")
	if n := len(s) - len(".pdf"); n >= 0 && strings.EqualFold(s[n:], ".pdf") {
		s = s[:n]
	}
	if runes := []rune(s); len(runes) > fileRunesMax {
		s = string(runes[:fileRunesMax])
	}
	if s = strings.Trim(s, " .-~"); s == "" {
		s = "documento"
	}
	return s + ".pdf"
}
