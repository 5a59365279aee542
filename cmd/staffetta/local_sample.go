package main

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/operator"
	"github.com/staffetta/staffetta/testcluster/process"
	"github.com/staffetta/staffetta/wire"
)

// sampleConfiguration is what the sample institution's messages name.
const sampleConfiguration = wire.RemoteContentID("01KZZZZZZZREM0TE0000000001")

const (
	sampleSubject  = "Carta d'identità: la ricevuta della richiesta"
	sampleMarkdown = "Gentile cittadina, gentile cittadino,\n\nin allegato la **ricevuta** della " +
		"sua richiesta. Il comune la conserva presso di sé: questa pagina l'ha appena chiesta.\n"
)

// sample is a sample institution's server of remote content: what a message refers to, and its PDF,
// made at the start.
type sample struct {
	listener net.Listener
	key      string
	receipt  []byte
}

func newSample() (*sample, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("the sample institution's server: %w", err)
	}
	return &sample{listener: l, key: operator.NewKey(),
			receipt: makePDF("Comune di Prova", "Ricevuta della richiesta di rinnovo",
				"Documento di prova")},
		nil
}

// run serves until ctx ends.
func (s *sample) run(ctx context.Context) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// configure tells the federation where the server is, at every start: its port is another one.
func (s *sample) configure(ctx context.Context, dir string, file *localfile.File) error {
	cfg, err := process.Operator(dir)
	if err != nil {
		return err
	}
	op, err := operator.New(cfg)
	if err != nil {
		return err
	}
	defer op.Close()
	return op.PutRemoteContent(ctx, wire.RemoteContentSpec{ProductionKey: s.key,
		Content: wire.RemoteContent{ID: sampleConfiguration, Name: "Ricevute",
			Institution:  wire.InstitutionID(file.Services[0].OrganizationFiscalCode),
			Description:  "Le ricevute del comune.",
			Precondition: "NEVER", Production: &wire.RemoteServer{Header: "X-Api-Key",
				BaseURL: "http://" + s.listener.Addr().String()}}})
}

// ServeHTTP answers as the contract has it for an institution's server.
func (s *sample) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Api-Key")), []byte(s.key)) != 1 ||
		r.Header.Get("fiscal_code") == "" {
		http.Error(w, "{}", http.StatusUnauthorized)
		return
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/messages/"), "/")
	w.Header().Set("Content-Type", "application/json")
	switch rest {
	case "":
		json.NewEncoder(w).Encode(map[string]any{
			"attachments": []any{map[string]any{"id": "ricevuta", "url": "documenti/ricevuta.pdf",
				"name": "ricevuta.pdf", "content_type": "application/pdf", "category": "DOCUMENT"}},
			"details": map[string]any{"subject": sampleSubject, "markdown": sampleMarkdown}})
	case "precondition":
		json.NewEncoder(w).Encode(map[string]any{"title": "Prima di aprire",
			"markdown": "Il comune viene a sapere che apre questo messaggio."})
	case "documenti/ricevuta.pdf":
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(s.receipt)
	default:
		http.NotFound(w, r)
	}
}

// makePDF is a document of one page with lines of text, in the format's own words.
func makePDF(lines ...string) []byte {
	var text strings.Builder
	text.WriteString("BT /F1 16 Tf 60 760 Td 28 TL\n")
	escape := strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`)
	for _, l := range lines {
		fmt.Fprintf(&text, "(%s) Tj T*\n", escape.Replace(l))
	}
	text.WriteString("ET")
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R " +
			"/Resources << /Font << /F1 4 0 R >> >> >>",
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", text.Len(), text.String()),
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1,
		start)
	return b.Bytes()
}

// sendSample sends a message whose content the sample institution keeps.
func sendSample(ctx context.Context, file *localfile.File, c localfile.Citizen,
	header http.Header) error {
	var sent struct{}
	return demoCall(ctx, http.MethodPost, file.Gateways[0].URL+"/api/v1/messages", header,
		http.StatusCreated, map[string]any{"fiscal_code": c.FiscalCode,
			"feature_level_type": "ADVANCED", "content": map[string]any{"subject": sampleSubject,
				"markdown": demoMarkdown, "third_party_data": map[string]any{"id": "ricevuta-1",
					"configuration_id": sampleConfiguration, "has_attachments": true,
					"has_remote_content": true}}}, &sent)
}
