package consensus

import (
	"os"
	"os/exec"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

// guardTests names, for every guard, the test that fails without it. docs/guards.md has the same
// list for readers.
var guardTests = map[string]string{
	guardHeartbeat:          "TestHeartbeatWaitsForTheMainLoop",
	guardPipeline:           "TestPipelineNeverParks",
	guardStall:              "TestHungDiskEndsTheLeader",
	guardDiskError:          "TestFailedDiskEndsTheLeader",
	guardTransferStuck:      "TestStuckTransferEndsTheLeader",
	guardStaleTail:          "TestStaleTailIsReinstalledOnce",
	guardInstallLoop:        "TestInstallLoopEndsTheReplica",
	guardStaleSnapshot:      "TestLateSnapshotIsRefused",
	guardTrailing:           "TestTrailingLogsHaveAMinimum",
	guardNoRestoreCommitted: "TestManyEntriesReplay",
	guardPreVote:            "TestReturningReplicaDoesNotDisturb",
	guardRemoved:            "TestRemovedReplicaEnds",
	guardOneInstall:         "TestOneSnapshotAtATime",
	guardSentLog:            "TestLogOfASentStateStays",
	guardLag:                "TestStandingFollowerRaisesAnAlarm",
	guardFreshAnswers:       "TestOldAnswersConfirmNobody",
	guardOrphans:            "TestNobodyWaitsForAStoppedGroup",
	guardEntryCap:           "TestEntryAboveTheCapIsNotAppended",
	guardChecksum:           "TestDamagedEntryIsNotRead",
	guardGap:                "TestLogWithAGapIsRefused",
	guardReplay:             "TestEntryIsAppliedOnce",
	guardSnapshotList:       "TestReceivedSnapshotIsNotListed",
	guardFlush:              "TestTruncationBehindDurableStateOnly",
	guardInstalledLog:       "TestReconcile",
	guardInstalledTail:      "TestReconcile",
	guardLostLog:            "TestReconcile",
	guardShortLog:           "TestDamageIsNotTheEnd",
	guardLostState:          "TestReconcile",
	guardForeignLog:         "TestReconcile",
	guardLostTerm:           "TestReconcile",
	guardIdentity:           "TestForeignDirectoryIsRefused",
	guardHalfBootstrap:      "TestHalfFoundedReplicaStarts",
	guardClock:              "TestNoEntryOfAWrongTime",
	guardVisibleRewrite:     "TestVisibleEntriesAfterATruncatedTail",
	guardDigest:             "TestDigestsAreJudged",
	guardVersions:           "TestVersionsArePinned",
}

// guardTries is how often a test may pass without its guard: what some guards are against happens
// in certain orders of goroutines only. With the guard a test has to pass every time.
const guardTries = 20

// TestEveryGuardMatters runs the test of every guard without it, and wants it to fail.
func TestEveryGuardMatters(t *testing.T) {
	if *guardsOff != "" {
		t.Skip("guards are off already")
	}
	if testing.Short() {
		t.Skip("runs some thirty tests that fail")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for guard, test := range guardTests {
		t.Run(guard, func(t *testing.T) {
			t.Parallel()
			var out []byte
			var err error
			for try := 0; err == nil && try < guardTries; try++ {
				cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+test+"$",
					"-test.count=1", "-test.timeout=2m", "-guards-off="+guard)
				out, err = cmd.CombinedOutput()
			}
			if err == nil {
				t.Fatalf("%s passes without the guard", test)
			}
			if !regexp.MustCompile(`(?m)^\s*--- FAIL: ` + test).Match(out) {
				t.Fatalf("%s did not fail but broke: %v\n%.2000s", test, err, out)
			}
		})
	}
}

// The guards of docs/guards.md and of the code are the same.
func TestEveryGuardIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/guards.md")
	if err != nil {
		t.Fatal(err)
	}
	for guard, test := range guardTests {
		row := regexp.MustCompile("(?m)^\\| `" + guard + "` \\|.*`" + test + "`")
		if !row.Match(doc) {
			t.Errorf("docs/guards.md has no row for %s with %s", guard, test)
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `").FindAll(doc, -1)
	if got, want := len(rows), len(guardTests); got != want {
		t.Errorf("docs/guards.md has %d guards, want %d", got, want)
	}
	source, err := os.ReadFile("guards.go")
	if err != nil {
		t.Fatal(err)
	}
	consts := regexp.MustCompile(`(?m)^\tguard\w+ += "`).FindAll(source, -1)
	if got, want := len(guardTests), len(consts); got != want {
		t.Errorf("%d guards have a test, want %d", got, want)
	}
}

// Other versions do not build together, or lack fixes that the guards rely on: raft-wal v0.4.0,
// which go mod tidy picks by itself beside raft v1.8.0, loses its place after a failed write
// (hashicorp/raft-wal#32) and truncates tails wrongly (#33).
func TestVersionsArePinned(t *testing.T) {
	want := map[string]string{
		"github.com/hashicorp/raft":           "v1.8.0",
		"github.com/hashicorp/raft-wal":       "v0.4.1",
		"github.com/hashicorp/raft-boltdb/v2": "v2.3.0",
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("no build information")
	}
	got := map[string]string{}
	for _, m := range info.Deps {
		got[m.Path] = m.Version
	}
	if len(got) == 0 { // not recorded in test binaries of some versions of go
		b, err := os.ReadFile("../go.mod")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 2 {
				got[f[0]] = f[1]
			}
		}
	}
	if !offNow().on(guardVersions) {
		got["github.com/hashicorp/raft-wal"] = "v0.4.0" // what tidy would do
	}
	for path, version := range want {
		if got[path] != version {
			t.Errorf("%s is %s, want %s", path, got[path], version)
		}
	}
}
