package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/staffetta/staffetta/internal/contract"
	"github.com/staffetta/staffetta/internal/localfile"
	"github.com/staffetta/staffetta/internal/synthetic"
	"golang.org/x/sync/errgroup"
)

const (
	// loginsInFlight is how many citizens are activated at once.
	loginsInFlight = 256
	// fileCitizensMax is how many citizens local.json names.
	fileCitizensMax = 100
	// otherPeople are those who are neither active nor newcomers, see people.
	otherPeople = 2
	// TestPassword is what the gateways' test login asks for.
	TestPassword = "test"
	// termsVersion is the version of the terms that synthetic citizens accept.
	termsVersion = 5.4
)

// person is a synthetic citizen of the federation.
type person struct {
	synthetic.Citizen
	region string
	state  string
}

// people invents the federation's citizens, the same for the same Config: of every region the
// active ones, then one who only logs in and one whom nobody knows.
func (c *Config) people() []person {
	invent := synthetic.NewCitizens(c.Seed)
	var all []person
	for _, r := range c.Regions {
		for range c.Citizens {
			all = append(all, person{invent.Next(), r, localfile.Active})
		}
	}
	return append(all, person{invent.Next(), c.Regions[0], localfile.NotAccepted},
		person{invent.Next(), c.Regions[0], localfile.Unknown})
}

// testCitizen is the contract's: active, and beside the invented ones, whose number is a setting.
func (c *Config) testCitizen() person {
	return person{synthetic.Citizen{FiscalCode: contract.Sandbox, Name: "Cittadina",
		FamilyName: "Di Prova", DateOfBirth: "2000-01-01"}, c.Regions[0], localfile.Active}
}

// Newcomers are the citizens who may log in and never did, with the region where they are to.
func (f *Federation) Newcomers() []localfile.Citizen {
	all := f.cfg.newcomers(len(f.people))
	list := make([]localfile.Citizen, len(all))
	for i, p := range all {
		list[i] = localfile.Citizen{FiscalCode: string(p.FiscalCode), Region: p.region,
			State: p.state}
	}
	return list
}

// newcomers are invented after the others, region by region in turn.
func (c *Config) newcomers(others int) (all []person) {
	invent := synthetic.NewCitizens(c.Seed)
	for range others {
		invent.Next()
	}
	for range c.Newcomers {
		for _, r := range c.Regions {
			all = append(all, person{invent.Next(), r, localfile.Unknown})
		}
	}
	return all
}

// writePeople writes who may log in, and the active citizens' codes.
func (c *Config) writePeople(all []person) error {
	var logins, codes bytes.Buffer
	login := func(p person) {
		fmt.Fprintf(&logins, "%s\t%s\t%s\t\t%s\n", p.FiscalCode, p.Name, p.FamilyName,
			p.DateOfBirth)
	}
	login(c.testCitizen())
	for _, p := range slices.Concat(all, c.newcomers(len(all))) {
		login(p)
		if p.state == localfile.Active {
			fmt.Fprintln(&codes, p.FiscalCode)
		}
	}
	return errors.Join(os.WriteFile(c.path(testLoginFile), logins.Bytes(), 0o600),
		os.WriteFile(c.path(CitizensFile), codes.Bytes(), 0o600))
}

// localCitizens are those that local.json names: two or more of each region first.
func (c *Config) localCitizens(all []person) []localfile.Citizen {
	var list []localfile.Citizen
	add := func(p person) {
		list = append(list, localfile.Citizen{FiscalCode: string(p.FiscalCode),
			Region: p.region, State: p.state})
	}
	active, others := all[:len(all)-otherPeople], all[len(all)-otherPeople:]
	share := (fileCitizensMax - len(others)) / len(c.Regions)
	for i, p := range active {
		if i%c.Citizens < share {
			add(p)
		}
	}
	for _, p := range others {
		add(p)
	}
	return list
}

// activate logs every citizen in who should be known, at its home, and accepts the terms for
// those who should be active; the contract's test citizen too. Done again it changes nothing.
func (c *Config) activate(ctx context.Context, gateway string, all []person) error {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		MaxIdleConnsPerHost: loginsInFlight, DisableCompression: true}}
	defer client.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loginsInFlight)
	for _, p := range append(slices.Clone(all), c.testCitizen()) {
		if p.state == localfile.Unknown {
			continue
		}
		g.Go(func() error {
			if err := activateOne(ctx, client, gateway, p); err != nil {
				return fmt.Errorf("activate a citizen of %s: %w", p.region, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func activateOne(ctx context.Context, client *http.Client, gateway string, p person) error {
	var login struct{ Token string }
	err := exchange(ctx, client, gateway+"/test-login", "", map[string]any{
		"username": p.FiscalCode, "password": TestPassword, "home_region": p.region}, &login)
	if err != nil || p.state != localfile.Active {
		return err
	}
	return accept(ctx, client, gateway+"/api/identity/v1/profile", login.Token)
}

// accept accepts the terms, unless they are. It supposes the profile of a first login. A conflict
// says that there is another, be it made by an acceptance whose answer was lost: then it looks.
func accept(ctx context.Context, client *http.Client, url, token string) error {
	var profile struct {
		Version uint64  `json:"version"`
		Terms   float64 `json:"accepted_tos_version"`
	}
	for range 3 {
		err := exchange(ctx, client, url, token, map[string]any{"version": profile.Version,
			"accepted_tos_version": termsVersion, "is_email_enabled": false,
			"service_preferences_settings": map[string]any{"mode": "AUTO"}}, nil)
		if !errors.Is(err, errConflict) {
			return err
		}
		err = exchange(ctx, client, url, token, nil, &profile)
		if err != nil || profile.Terms > 0 {
			return err
		}
	}
	return errConflict
}

// errConflict is in the error of an exchange that was answered 409.
var errConflict = errors.New("conflict")

// exchangeTries bounds the tries of one exchange; a region that elects a leader needs some.
const exchangeTries = 40

// exchange makes one HTTP exchange of JSON, a GET when body is nil. It is repeated while the
// gateway answers that it cannot now.
func exchange(ctx context.Context, client *http.Client, url, token string, body, answer any) error {
	for try := 1; ; try++ {
		status, err := exchangeOnce(ctx, client, url, token, body, answer)
		if err == nil || try == exchangeTries || ctx.Err() != nil ||
			status != 0 && status != http.StatusTooManyRequests && status < 500 {
			return err
		}
		select {
		case <-time.After(time.Duration(try) * 25 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func exchangeOnce(ctx context.Context, client *http.Client, url, token string,
	body, answer any) (status int, err error) {
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		method, content = http.MethodPost, bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return 0, err
	case resp.StatusCode == http.StatusConflict:
		return resp.StatusCode, fmt.Errorf("%w: %s", errConflict, strings.TrimSpace(string(b)))
	case resp.StatusCode != http.StatusOK:
		text := strings.TrimSpace(string(b))
		return resp.StatusCode, fmt.Errorf("%s: %s", resp.Status, text)
	case answer == nil:
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.Unmarshal(b, answer)
}
