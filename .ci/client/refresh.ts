// A client that does nothing but ask for what is newer, while messages come faster than pages hold.
import { type Client, must, ok } from "./client";
import type { Session } from "./gates";

const MESSAGES = 30;
const PAGE = 12;
const TRIES = 300;
const PAUSE = 100; // milliseconds

export async function refresh(client: Client, own: Session, send: (n: number) => Promise<string>) {
	const { prev: from, items } = await ok("the inbox",
		client.getUserMessages({ ...own, page_size: PAGE }));
	must(from, "the inbox does not say from where to refresh");
	let prev: string = from;
	const seen = new Map<string, number>(items.map((i) => [i.id, 1]));
	const before = seen.size;
	const sending = Promise.all(Array.from({ length: MESSAGES }, (_, n) => send(n)));
	const missing = (sent: string[]) => sent.filter((id) => !seen.has(id));
	let sent: string[] | undefined;
	void sending.then((ids) => (sent = ids), () => {});
	let calls = 0;
	for (; calls < TRIES && !(sent && missing(sent).length === 0); calls++) {
		const page: { items: readonly { id: string }[]; prev?: string } = await ok("a refresh",
			client.getUserMessages({ ...own, page_size: PAGE, minimum_id: prev }));
		for (const { id } of page.items) seen.set(id, (seen.get(id) ?? 0) + 1);
		must(page.prev, "a refresh does not say from where to go on");
		prev = page.prev;
		if (page.items.length === 0) await new Promise((r) => setTimeout(r, PAUSE));
	}
	const lost = missing(await sending);
	must(lost.length === 0, `${lost.length} of ${MESSAGES} messages are in no page of ${calls} ` +
		"refreshes");
	const twice = [...seen.values()].filter((n) => n > 1).length;
	must(twice === 0, `${twice} messages are in more than one page`);
	must(seen.size === before + MESSAGES, "the pages have other messages than those sent");
	console.log(`${MESSAGES} messages in pages of ${PAGE}: each in one of ${calls} refreshes`);
}
