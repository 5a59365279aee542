package repotest

import (
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestOperating runs the smallest federation as docs/operating.md describes it, and then starts
// it wrongly in every way that needs no patience.
func TestOperating(t *testing.T) {
	ports := map[string]string{}
	var replace []string
	for _, port := range []string{"7400", "7401", "8080", "8081"} {
		ports[port] = freePort(t)
		replace = append(replace, "127.0.0.1:"+port, "127.0.0.1:"+ports[port])
	}
	s := newShell(t, replace...)
	s.needs("curl", "openssl")
	text := readFile(t, "docs/operating.md")
	one := func(heading string) string {
		t.Helper()
		all := shellBlocks("docs/operating.md", section(t, text, heading))
		if len(all) != 1 {
			t.Fatalf("%q has %d blocks of commands, want 1", heading, len(all))
		}
		return all[0].text
	}
	for _, b := range shellBlocks("docs/operating.md", section(t, text, "## What a federation needs")) {
		s.run(b.text)
	}
	start := one("## A node")
	node := s.start(start)
	gateway := s.start(one("## A gateway"))
	for p, port := range map[*process]string{node: ports["7401"], gateway: ports["8081"]} {
		p.await(func() (bool, string) {
			status, why := get(t, "http://127.0.0.1:"+port+"/health")
			return status == 200, "health: " + why
		})
	}
	got := s.run(one("## Is it well?"))
	if strings.Count(got, `"ready": true`) != 3 || strings.Count(got, `"role": "leader"`) != 2 {
		t.Errorf("the node or the gateway is not well:\n%s", got)
	}
	gateway.stop()

	known := refusals(t, section(t, text, "### Refusals to start"))
	refuse := func(name, script string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := s.command(ctx, script).CombinedOutput()
		if err == nil || ctx.Err() != nil {
			t.Errorf("%s: it starts", name)
			return
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		for _, re := range known {
			if re.MatchString(lines[len(lines)-1]) {
				return
			}
		}
		t.Errorf("%s: docs/operating.md does not know %q", name, lines[len(lines)-1])
	}
	other := strings.NewReplacer("127.0.0.1:7400", "127.0.0.1:0", "127.0.0.1:7401",
		"127.0.0.1:0").Replace(start)
	refuse("second process", other)
	refuse("port in use", strings.Replace(start, "--dir data", "--dir fresh", 1))
	node.stop()
	s.run("echo zz > italia/bad.key; openssl rand -hex 32 > italia/other.key; " +
		"mkdir half; cp -r data/region half; cp -r data damaged; cp -r data lost; " +
		"rm -r lost/region; echo x > damaged/region/state/CURRENT; cd italia; " +
		"sed s/italia/francia/ founding.json > francia.json; echo {} > empty.json")
	for name, change := range map[string][2]string{
		"unknown flag":         {"--dir data", "--dir data --nosuch"},
		"missing flag":         {"--dir data", ""},
		"log level":            {"--dir data", "--dir data --log-level loud"},
		"missing founding":     {"founding.json", "nosuch.json"},
		"empty founding":       {"founding.json", "empty.json"},
		"other federation":     {"founding.json", "francia.json"},
		"other node":           {"--id lazio-1", "--id lazio-2"},
		"no key":               {"directory.key", "bad.key"},
		"other key":            {"directory.key", "other.key"},
		"pair":                 {"pki/lazio-1.key", "pki/gateway-1.key"},
		"missing certificate":  {"pki/lazio-1.crt", "pki/nosuch.crt"},
		"missing authorities":  {"pki/ca.crt", "pki/nosuch.crt"},
		"foreign authorities":  {"--ca italia/pki/ca.crt", "--ca italia/pki/gateway-1.crt"},
		"half-written":         {"--dir data", "--dir half"},
		"lost group":           {"--dir data", "--dir lost"},
		"damaged":              {"--dir data", "--dir damaged"},
		"other log store":      {"--dir data", "--dir data --log-store bolt"},
		"somebody else's cert": {"pki/lazio-1.", "pki/gateway-1."},
	} {
		changed := strings.ReplaceAll(other, change[0], change[1])
		if changed == other {
			t.Fatalf("%s changes nothing", name)
		}
		refuse(name, changed)
	}
}

// refusals are the messages of the table as expressions, … standing for anything.
func refusals(t *testing.T, text string) []*regexp.Regexp {
	t.Helper()
	var all []*regexp.Regexp
	span := regexp.MustCompile("`([^`]+)`")
	for _, r := range rows(text) {
		for _, m := range span.FindAllStringSubmatch(r[0], -1) {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(m[1]), "…", ".*")
			all = append(all, regexp.MustCompile(pattern))
		}
	}
	if len(all) < 15 {
		t.Fatalf("%d refusals documented", len(all))
	}
	return all
}

// TestExitCodes: a command line that cannot be run ends with the code that supervisors see.
func TestExitCodes(t *testing.T) {
	err := exec.Command(program(t, "staffetta"), "node").Run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		t.Errorf("a node without flags ends with %v, want exit code 1", err)
	}
}
