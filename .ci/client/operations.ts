// Every operation of the contract once: served and decoded, or said to be not served.
import fs from "node:fs";
import { type Client, must, ok, statusOf } from "./client";
import * as device from "./device";
import type { Opened, Session } from "./gates";

const CONTRACT = 34;

// notServed are the operations that answer 501. What is served from now on leaves this list.
const notServed = [
	"POST /api/auth/v1/fast-login",
	"POST /api/auth/v1/fast-login/nonce/generate",
	"POST /api/identity/v1/email-validation-process",
	"POST /api/identity/v1/user-data-processing",
	"GET /api/identity/v1/user-data-processing/{choice}",
	"DELETE /api/identity/v1/user-data-processing/{choice}",
	"GET /api/communication/v1/send/activation",
	"POST /api/communication/v1/send/activation",
	"PUT /api/communication/v1/installations/{installation_id}",
	"GET /api/communication/v1/payment/info/{rpt_id}",
];

type Call = { want: number; call: () => Promise<number> };

// contract reads the operations where the product has them.
function contract(file: string): string[] {
	const [, text] = fs.readFileSync(file, "utf8").split("var Citizens");
	let base = "";
	const list: string[] = [];
	for (const [, under, method, path] of
		text.matchAll(/under\("([^"]+)"|\{"([A-Z]+)", "([^"]+)"/g)) {
		if (under) base = under;
		else list.push(`${method} ${base}${path}`);
	}
	must(list.length === CONTRACT, `the contract has ${list.length} operations, want ${CONTRACT}`);
	return list;
}

// calls are those that the generated client has, in an order in which each can succeed.
async function calls(client: Client, base: string, code: string, own: Session, opened: Opened):
	Promise<Record<string, Call>> {
	const { id, service, institution, attachment } = opened;
	const profile = await ok("the profile", client.getUserProfile(own));
	const preference = { ...own, service_id: service };
	const sign = "/api/identity/v1/first-lollipop/sign";
	const message = { message: "ciao" };
	const all: Record<string, [number, () => Promise<any>]> = {
		"POST /api/auth/v1/test-login": [200, () => client.testLoginUnderAuth({ ...device.headers,
			body: { username: code, password: "test" } })],
		"GET /api/auth/v1/session": [200, () => client.getSession(own)],
		"GET /api/auth/v1/login": [302, () => client.login({ entityID: "test",
			authLevel: "SpidL2" as any, ...device.headers, "x-pagopa-login-type": "LEGACY" as any,
			"x-pagopa-current-user": "0".repeat(64) })],
		"GET /api/auth/v1/user-identity": [200, () => client.getUserIdentity(own)],
		"GET /api/auth/v1/healthcheck": [200, () => client.healthcheck({})],
		"GET /api/identity/v1/profile": [200, () => client.getUserProfile(own)],
		"POST /api/identity/v1/profile": [200, () => client.updateProfile({ ...own,
			body: { ...profile, is_inbox_enabled: true } as any })],
		"GET /api/identity/v1/services/{service_id}/preferences": [200, () =>
			client.getServicePreferences(preference)],
		"POST /api/identity/v1/services/{service_id}/preferences": [200, () =>
			client.upsertServicePreferences({ ...preference, body: { is_inbox_enabled: true,
				is_email_enabled: false, is_webhook_enabled: true, settings_version: 0 } as any })],
		["POST " + sign]: [200, () => client.signMessage({ ...own,
			...device.signed("POST", base.replace("http:", "https:") + sign, message), // as clients reach it
			body: message })],
		"GET /api/communication/v1/messages": [200, () => client.getUserMessages(own)],
		"GET /api/communication/v1/messages/{id}": [200, () => client.getUserMessage({ ...own, id })],
		"PUT /api/communication/v1/messages/{id}/status": [200, () =>
			client.upsertMessageStatusAttributes({ ...own, id,
				body: { change_type: "archiving", is_archived: false } as any })],
		"GET /api/communication/v1/third-party-messages/{id}/precondition": [204, () =>
			client.getThirdPartyMessagePrecondition({ ...own, id })],
		"GET /api/communication/v1/third-party-messages/{id}": [200, () =>
			client.getThirdPartyMessage({ ...own, id })],
		"GET /api/communication/v1/third-party-messages/{id}/attachments/{attachment_url...}": [200,
			() => client.getThirdPartyMessageAttachment({ ...own, id, attachment_url: attachment })],
		"GET /api/catalog/v1/institutions": [200, () => client.findInstitutions(own)],
		"GET /api/catalog/v1/institutions/featured": [200, () =>
			client.getFeaturedInstitutions(own)],
		"GET /api/catalog/v1/institutions/{institution_id}/services": [200, () =>
			client.findInstitutionServices({ ...own, institution_id: institution })],
		"GET /api/catalog/v1/services/featured": [200, () => client.getFeaturedServices(own)],
		"GET /api/catalog/v1/services/{service_id}": [200, () => client.getServiceById(preference)],
		"POST /api/auth/v1/logout": [200, () => client.logout(own)],
	};
	const of = (name: string, [want, call]: [number, () => Promise<any>]): Call =>
		({ want, call: () => statusOf(name, call()) });
	return { ...Object.fromEntries(Object.entries(all).map(([name, c]) => [name, of(name, c)])),
		// XML, which the client does not have.
		"GET /api/auth/v1/metadata": { want: 200, call: async () =>
			(await fetch(base + "/api/auth/v1/metadata")).status },
		// A browser brings this one, not the client: of a login that nobody has begun.
		"POST /api/auth/v1/assertionConsumerService": { want: 302, call: async () =>
			(await fetch(base + "/api/auth/v1/assertionConsumerService", { method: "POST",
				redirect: "manual", body: new URLSearchParams({ SAMLResponse: "none" }) })).status },
	};
}

// refused is whether an operation says, in the form of a problem, that it is not served.
async function refused(base: string, own: Session, name: string): Promise<boolean> {
	const [method, path] = name.split(" ");
	const answer = await fetch(base + path.replace(/[{}]/g, ""), { method,
		headers: { authorization: `Bearer ${own.session}`, "content-type": "application/json" },
		body: method === "GET" || method === "DELETE" ? undefined : "{}" });
	const problem: any = await answer.json().catch(() => ({}));
	return answer.status === 501 && problem.type === "urn:staffetta:problem:not-served";
}

// every calls each operation of the contract; the session has ended afterwards.
export async function every(client: Client, base: string, code: string, own: Session,
	opened: Opened, file: string) {
	const known = await calls(client, base, code, own, opened);
	const counts = { served: 0, "not served": 0, other: 0 };
	const faults: string[] = [];
	const last = "POST /api/auth/v1/logout";
	const list = contract(file).filter((name) => name !== last).concat(last);
	for (const name of list) {
		if (notServed.includes(name)) {
			if (await refused(base, own, name)) counts["not served"]++;
			else counts.other++, faults.push(`${name} does not say that it is not served`);
			continue;
		}
		const { want, call } = known[name] ?? { want: 200, call: async () => NaN };
		const got = await call().catch((e: Error) => e.message);
		if (got === want) counts.served++;
		else counts.other++, faults.push(`${name}: ${got}, want ${want}`);
	}
	console.log(`of ${list.length} operations: ` + Object.entries(counts).map(([what, n]) =>
		`${n} ${what}`).join(", "));
	must(faults.length === 0, faults.join("\n"));
	must(counts["not served"] === notServed.length, "what is not served is not the contract's");
	must(await statusOf("the session that ended", client.getSession(own)) === 401,
		"the session goes on after the logout");
}
