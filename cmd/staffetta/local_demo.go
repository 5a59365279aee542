package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/staffetta/staffetta/gateway/institution"
	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/operator"
)

// demoCitizensMax bounds the citizens that the demonstration writes to: two of each region and
// the two who get nothing.
const demoCitizensMax = 24

const demoMarkdown = "Gentile cittadina, gentile cittadino,\n\nla sua richiesta di rinnovo della " +
	"carta d'identità è stata registrata. Può ritirare il documento allo sportello a partire " +
	"da lunedì prossimo, portando con sé il vecchio.\n"

// runDemo sends one message to each citizen and shows what became of it: the verdict that the
// institution got, and the message as its recipient's inbox shows it.
func runDemo(ctx context.Context, file *localfile.File, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FISCAL CODE (synthetic)\tREGION\tVERDICT\tIN THE INBOX")
	perRegion := map[string]int{}
	shown := 0
	for _, c := range file.Citizens {
		if perRegion[c.Region+c.State]++; perRegion[c.Region+c.State] > 2 ||
			shown == demoCitizensMax {
			continue
		}
		shown++
		verdict, inbox, err := demonstrate(ctx, file, c)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", c.FiscalCode, c.Region, verdict, inbox)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return nil
}

// demonstrate sends one message and reads it back as its recipient.
func demonstrate(ctx context.Context, file *localfile.File, c localfile.Citizen) (
	verdict, inbox string, err error) {
	gateway := file.Gateways[0].URL
	var sent struct {
		ID     string `json:"id"`
		Status string `json:"status"`
		Reason string `json:"rejection_reason"`
	}
	err = demoCall(ctx, http.MethodPost, gateway+"/api/v1/messages", http.Header{
		institution.KeyHeader:    {file.Services[0].PrimaryKey},
		institution.PreferHeader: {institution.PreferVerdict},
		"Idempotency-Key":        {operator.NewKey()}}, http.StatusCreated,
		map[string]any{"fiscal_code": c.FiscalCode, "content": map[string]any{
			"subject": "Carta d'identità pronta", "markdown": demoMarkdown}}, &sent)
	if err != nil {
		return "", "", err
	}
	if err := sendSample(ctx, file, c, http.Header{
		institution.KeyHeader: {file.Services[0].PrimaryKey},
		"Idempotency-Key":     {operator.NewKey()}}); err != nil {
		return "", "", err
	}
	if verdict = sent.Status; sent.Reason != "" {
		verdict += " (" + sent.Reason + ")"
	}
	if c.State == localfile.Unknown { // a login would make the citizen known
		return verdict, "no inbox", nil
	}
	var login struct{ Token string }
	err = demoCall(ctx, http.MethodPost, gateway+"/test-login", http.Header{}, http.StatusOK,
		map[string]any{"username": c.FiscalCode, "password": "test"}, &login)
	if err != nil {
		return "", "", err
	}
	var page struct {
		Items []struct {
			ID    string `json:"id"`
			Title string `json:"message_title"`
			From  string `json:"organization_name"`
		} `json:"items"`
	}
	err = demoCall(ctx, http.MethodGet,
		gateway+"/api/communication/v1/messages?enrich_result_data=true&page_size=5",
		http.Header{"Authorization": {"Bearer " + login.Token}}, http.StatusOK, nil, &page)
	if err != nil {
		return "", "", err
	}
	for _, item := range page.Items {
		if item.ID == sent.ID {
			return verdict, fmt.Sprintf("%q from %s", item.Title, item.From), nil
		}
	}
	return verdict, "not there", nil
}

// demoTries and demoPause bound the wait for a region that elects a leader.
const (
	demoTries = 20
	demoPause = 500 * time.Millisecond
)

// demoCall makes a call, again while the gateway does not answer or cannot serve it now; a
// message that is sent again has the same idempotency key.
func demoCall(ctx context.Context, method, url string, header http.Header, want int,
	body, answer any) error {
	for try := 1; ; try++ {
		status, err := demoCallOnce(ctx, method, url, header, want, body, answer)
		if err == nil || try == demoTries || status != 0 && status < 500 {
			return err
		}
		select {
		case <-time.After(demoPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func demoCallOnce(ctx context.Context, method, url string, header http.Header, want int,
	body, answer any) (status int, err error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return 0, err
	}
	req.Header = header.Clone()
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != want {
		return resp.StatusCode, fmt.Errorf("%s %s: %s: %s", method, req.URL.Path, resp.Status, b)
	}
	return resp.StatusCode, json.Unmarshal(b, answer)
}

// printHints says how to go on.
func printHints(out io.Writer, dir string, file *localfile.File) {
	gateway, key := file.Gateways[0].URL, file.Services[0].PrimaryKey
	code := file.Citizens[0].FiscalCode
	fmt.Fprintf(out, `Go on, as an institution:

  curl -s %[1]s/api/v1/messages -H 'Ocp-Apim-Subscription-Key: %[2]s' \
    -H 'Prefer: return=representation' \
    -d '{"fiscal_code":"%[3]s","content":{"subject":"Una prova da curl","markdown":"%[4]s"}}'
  # the contract's test citizen, whom every service may write to, is AAAAAA00A00A000A
  curl -s %[1]s/api/v1/profiles -H 'Ocp-Apim-Subscription-Key: %[2]s' -d '{"fiscal_code":"%[3]s"}'

as the citizen:

  TOKEN=$(curl -s %[1]s/test-login -d '{"username":"%[3]s","password":"test"}' | cut -d'"' -f4)
  curl -s '%[1]s/api/communication/v1/messages?enrich_result_data=true' \
    -H "Authorization: Bearer $TOKEN"

as the operator:

  staffetta admin key revoke --dir %[5]s --service %[6]s --name secondary
  curl -s %[7]s/status

Ctrl-C ends the federation; --dir %[5]s brings it back.
%[8]s`, gateway, key, code, "Questo messaggio ha almeno ottanta caratteri, come chiede il "+
		"contratto delle istituzioni.", dir, file.Services[0].ServiceID, file.Nodes[0].Admin,
		linkOf(file))
}

// linkOf says where to log in, in a browser: the first citizen stands first on the page behind it.
func linkOf(file *localfile.File) string {
	if file.Provider == nil {
		return ""
	}
	return "\nOpen this in a browser and be the first citizen:\n\n  " + file.Provider.Login + "\n"
}
