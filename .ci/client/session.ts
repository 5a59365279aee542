// The session: a federation, a login, and everything a client asks; see run.
import path from "node:path";
import { clientOf, must } from "./client";
import { start as federate } from "./federation.mjs";
import * as gates from "./gates";
import { every } from "./operations";
import { refresh } from "./refresh";

const text = "Gentile cittadina, gentile cittadino, questo avviso ha almeno ottanta caratteri, " +
	"come vuole il contratto.";

async function main(binary: string, work: string) {
	const federation = await federate(binary, work, "lazio");
	process.once("SIGTERM", () => void federation.stop().then(() => process.exit(1)));
	try {
		const { base, active: code } = federation;
		must(code, "the federation names no active citizen");
		const client = clientOf(base);
		const own = await gates.logIn(client, code);
		await gates.start(client, own);
		const opened = await gates.open(client, own);
		console.log("the session has what IO's app needs, and a message opens");
		await refresh(client, own, (n) => federation.send(code, { subject: `Avviso numero ${n}`,
			markdown: text }));
		await every(client, base, code, own, opened, path.join(work, "operations.go"));
	} finally {
		await federation.stop();
	}
}

main(process.argv[2], process.argv[3]).catch((e: Error) => {
	console.error(e.message);
	process.exitCode = 1;
});
