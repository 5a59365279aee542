// A local federation, and what is needed of it: its address, a key, and its citizens.
import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";

const freePort = () =>
	new Promise((found) => {
		const server = net.createServer().listen(0, "127.0.0.1", () => {
			const { port } = server.address();
			server.close(() => found(port));
		});
	});

export async function start(binary, work, regions = "lazio,sicilia") {
	const dir = path.join(work, "federation");
	const http = `127.0.0.1:${await freePort()}`;
	const child = spawn(binary, ["local", "--regions", regions, "--nodes", "1", "--dir", dir,
		"--http", http, "--log-level", "error"], { stdio: ["ignore", "pipe", "pipe"] });
	let text = "";
	child.stdout.on("data", (b) => (text += b));
	child.stderr.on("data", (b) => (text += b));
	const ended = new Promise((end) => child.on("exit", end));
	const stop = async () => {
		child.kill("SIGINT");
		await ended;
	};
	for (let tries = 0; !/be the first citizen:\s+\S+\n/.test(text); tries++) {
		if (tries > 600 || child.exitCode !== null) {
			await stop();
			throw new Error("the federation did not start:\n" + text);
		}
		await new Promise((r) => setTimeout(r, 200));
	}
	const key = text.match(/Ocp-Apim-Subscription-Key: ([0-9a-f]+)/)[1];
	const citizen = (verdict) => text.match(new RegExp(`(\\w{16})\\s+lazio\\s+${verdict}`))?.[1];
	const base = `http://${http}`;
	return {
		base, stop, text,
		login: text.match(/be the first citizen:\s+(\S+)\n/)[1], // the link that it prints
		active: citizen("PROCESSED"),
		newcomer: citizen("REJECTED \\(SERVICE_NOT_ALLOWED\\)"),
		send: async (code, content) => {
			const answer = await fetch(base + "/api/v1/messages", { method: "POST",
				headers: { "Ocp-Apim-Subscription-Key": key },
				body: JSON.stringify({ fiscal_code: code, content }) });
			if (answer.status !== 201) throw new Error("not sent: " + (await answer.text()));
			return (await answer.json()).id;
		},
		// nodeOf is the process of a region's only node.
		nodeOf: (region) => {
			for (const pid of fs.readdirSync("/proc").filter((n) => /^\d+$/.test(n))) {
				try {
					const line = fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
					if (line[1] === "node" && line.some((a) => a.startsWith(dir) &&
						a.includes(`${region}-1`))) return Number(pid);
				} catch { /* it ended meanwhile */ }
			}
			throw new Error("no node of " + region);
		},
	};
}

export const message = {
	subject: "Avviso di pagamento TARI 2026: seconda rata",
	due_date: "2026-12-31T23:59:59+01:00",
	payment_data: { amount: 123456, notice_number: "302000100000009421" },
	markdown: `---
it:
  cta_1:
    text: "Vai al sito"
    action: "ioHandledLink://https://www.comune.prova.example/tari"
  cta_2:
    text: "Chiama"
    action: "tel:+390612345678"
---
# La tua tassa

Gentile cittadina, **la seconda rata** scade il 31 dicembre.

- importo: vedi sopra
- come si paga: in banca, alla posta o *online*

> Se hai già pagato, non devi fare nulla.

Leggi [il regolamento](https://www.comune.prova.example/regolamento) o scrivi a <urp@comune.prova.example>.
<img src="https://evil.example/pixel.png" onerror="alert(1)"> [qui](javascript:alert(1))`,
};
