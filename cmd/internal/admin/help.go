package admin

import "github.com/spf13/cobra"

// explanation is what the help of a command says below its first line.
type explanation struct{ long, example string }

// explanations are those of commands that are small enough to be explained here, by their paths.
// What a command says of itself, where it is made, comes first.
var explanations = map[string]explanation{
	"admin status":       {"", "admin status --watch"},
	"admin doctor":       {"", "admin doctor --only lazio-2"},
	"admin backup init":  {"", "admin backup init --target /srv/copies --key-file backup.key"},
	"admin ca add":       {"", "admin ca add new-ca.crt"},
	"admin ca remove":    {"", "admin ca remove FINGERPRINT"},
	"admin node remove":  {"", "admin node remove lazio-4"},
	"admin region add":   {"", "admin region add umbria --tag 10"},
	"admin region close": {"", "admin region close umbria"},
	"admin region remove": {"",
		"admin region remove umbria"},
	"admin region recovery-key": {"",
		"admin region recovery-key --region lazio --out lazio-recovery.key"},
	"admin restore waive": {"", "admin restore waive --region lazio"},
	"admin restore fence": {"", "admin restore fence --region lazio --incarnation 1"},
	"admin whoami": {"Show who the certificate says you are, and what it lets you do where.",
		"admin whoami"},
	"admin voters": {"", "admin voters lazio-1 lombardia-1 sicilia-1"},
	"admin gateway remove": {"",
		"admin gateway remove edge-2"},
	"admin institution put": {"", "admin institution put --file institution.json"},
	"admin upgrade finalise": {"",
		"admin upgrade finalise"},
	"admin disk release-ballast": {"", "admin disk release-ballast lazio-1"},
	"admin region-key rotate":    {"", "admin region-key rotate --region lazio"},
	"admin backup prune": {"", "admin backup prune --target /srv/copies --key-file backup.key " +
		"--keep 24"},
	"admin backup verify": {"", "admin backup verify --target /srv/copies --key-file backup.key " +
		"--all --scratch /var/tmp/v --recovery-key lazio-recovery.key"},
	"admin node token": {"", "admin node token lazio-4 --region lazio --addr 10.12.0.4:7400 " +
		"--out lazio-4.token --ca-cert ca.crt --ca-key ca.key"},
	"admin node replace": {"", "admin node replace lazio-1 lazio-5 --addr 10.12.0.5:7400 " +
		"--out lazio-5.token --ca-cert ca.crt --ca-key ca.key"},

	"admin backup list": {"List the copies that lie at a target: of which group, from when, up to " +
		"which entry.", "admin backup list --target /srv/copies --key-file backup.key"},
	"admin ca create": {"Make an authority: a key and a certificate that signs others. Nobody " +
		"trusts it before ca add.",
		"admin ca create --federation italia --ca-cert new-ca.crt --ca-key new-ca.key"},
	"admin ca list": {"List the authorities that the federation trusts, with fingerprints and ends.",
		"admin ca list"},
	"admin gateway add": {"Put a gateway on the map. Nodes answer no other; its certificate comes " +
		"from cert issue.", "admin gateway add edge-2 --region lazio"},
	"admin gateway list": {"List the gateways of the map and their regions.",
		"admin gateway list"},
	"admin institution list": {"List the institutions of the registry.", "admin institution list"},
	"admin institution show": {"Show an institution and its services.",
		"admin institution show --institution 01234567890"},
	"admin key revoke": {"Revoke one of a service's two keys. When the command ends, every gateway " +
		"refuses it\nwhose node reaches the federation's leader.",
		"admin key revoke --service 01KZZZZZZZSERV1CE000000001 --name secondary"},
	"admin key rotate": {"Replace one of a service's two keys, and print the new one: only here " +
		"and only once.\nThe old one is revoked by it.",
		"admin key rotate --service 01KZZZZZZZSERV1CE000000001 --name primary"},
	"admin map": {"Show the map: regions, nodes and gateways; with --founding, as the founding " +
		"file of a\nnode that is put together again.", "admin map --founding"},
	"admin move status": {"Show how far a citizen's move is, on both sides.",
		"admin move status --recipient-file code.txt"},
	"admin node address": {"Change the address at which a node is reached. Restart it with " +
		"--listen for the new one.", "admin node address lazio-2 10.12.0.9:7400"},
	"admin node demote": {"Take a node's vote in its region's group: it follows on.",
		"admin node demote lazio-4"},
	"admin node promote": {"Give a node its vote in its region's group, once it has caught up.",
		"admin node promote lazio-4"},
	"admin node drain": {"Have a node lead nothing until its maintenance ends; it follows and votes.",
		`admin node drain lazio-2 --reason memory`},
	"admin node maintenance": {"Mark a node as in maintenance, or end that.",
		"admin node maintenance lazio-2 --end"},
	"admin node handover": {"Have a node give up what it leads to another that has caught up.",
		"admin node handover lazio-1"},
	"admin node list": {"List the nodes of the map and what each is in its groups.",
		"admin node list"},
	"admin node sign": {"Sign the request of a node that joins, where the authority's key is.",
		"admin node sign lazio-4 --ca-cert pki/ca.crt --ca-key pki/ca.key"},
	"admin approvals": {"Show the setting: 1 operator, or 2, does what hurts a region.",
		"admin approvals"},
	"admin approve":       {"", "admin approve 3f2a90c1"},
	"admin approvals set": {"", "admin approvals set 2"},
	"admin region list": {"List the regions of the map, and which are closed.",
		"admin region list"},
	"admin region reopen": {"Reopen a region that was closed.", "admin region reopen umbria"},
	"admin region-key show": {"Show the keys to which messages for a region are sealed while it is " +
		"away.", "admin region-key show --region lazio"},
	"admin restore status": {"Show what restored regions compare, and what was lost.",
		"admin restore status"},
	"admin service list": {"List the services of the registry, of one institution or all.",
		"admin service list --institution 01234567890"},
	"admin service show": {"Show a service: its scopes, its addresses, and with a directory key " +
		"whom it may write to.", "admin service show --service 01KZZZZZZZSERV1CE000000001"},
	"admin slots show": {"Show which region answers for which share of unclaimed codes.",
		"admin slots show"},
	"admin slots write-off": {"Give up the verdicts that a lost region kept for its former slots.",
		"admin slots write-off --from umbria"},
	"admin upgrade status": {"Show the version of every node's program, and of every group's log.",
		"admin upgrade status"},
}

// completeHelp completes the help of the commands below cmd, which is admin.
func completeHelp(cmd *cobra.Command) {
	if e, ok := explanations[cmd.CommandPath()]; ok {
		if cmd.Long == "" {
			cmd.Long = e.long
		}
		if cmd.Example == "" {
			cmd.Example = "  staffetta " + e.example
		}
	}
	for _, below := range cmd.Commands() {
		completeHelp(below)
	}
}
