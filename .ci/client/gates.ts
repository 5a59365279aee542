// What IO's app asks for before it shows a message: with one of these missing it shows none.
import { type Client, must, ok } from "./client";
import * as device from "./device";

export type Session = { session: string };
export type Opened = { id: string; service: string; institution: string; attachment: string };

export async function logIn(client: Client, code: string): Promise<Session> {
	const { token } = await ok("the login", client.testLogin({
		...device.headers, body: { username: code, password: "test" } }));
	must(/^[0-9a-f]{96}$/.test(token), "the login gives no token");
	return { session: token };
}

export async function start(client: Client, own: Session) {
	const session = await ok("the session", client.getSession(own));
	must(session.walletToken && session.bpdToken, "the session is without a token that the app needs");
	must(session.lollipopAssertionRef === device.reference, "the session does not refer to the key " +
		`that the login brought: ${session.lollipopAssertionRef}, want ${device.reference}`);
}

// open opens the demonstration's message with an attachment, as the app does.
export async function open(client: Client, own: Session): Promise<Opened> {
	const list = async () => (await ok("the inbox", client.getUserMessages({ ...own,
		enrich_result_data: true, page_size: 12 }))).items;
	const item = (await list()).find((i) => i.has_attachments);
	must(item, "the inbox is without the demonstration's message with an attachment");
	const { id, sender_service_id: service } = item;
	must(item.is_read === false, "the message is read before anybody read it");

	const message = await ok("the message", client.getUserMessage({ ...own, id,
		public_message: true }));
	must(message.content.subject === item.message_title, "the message is not decoded");
	const sender = await ok("the sender", client.getServiceById({ ...own, service_id: service }));
	must(sender.id === service && sender.organization.name === item.organization_name,
		"the catalogue has another sender than the inbox");
	const status = await ok("reading", client.upsertMessageStatusAttributes({ ...own, id,
		body: { change_type: "reading", is_read: true } as any }));
	must(status.is_read, "a message that was read is not a read one");
	must((await list()).find((i) => i.id === id)?.is_read, "the inbox does not know what was read");

	const remote = await ok("the remote content", client.getThirdPartyMessage({ ...own, id }));
	const attachment = remote.third_party_message.attachments?.[0]?.url;
	must(attachment, "the remote content has no attachment");
	const file = await ok("the attachment", client.getThirdPartyMessageAttachment({ ...own, id,
		attachment_url: attachment }));
	must(Buffer.from(file).subarray(0, 5).toString() === "%PDF-", "the attachment is no PDF");
	return { id, service, institution: sender.organization.fiscal_code, attachment };
}
