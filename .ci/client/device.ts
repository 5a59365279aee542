// The key of a device: what it brings to a login, and how it signs.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const { crv, kty, x, y } = publicKey.export({ format: "jwk" });

const sha256 = (text: string) => createHash("sha256").update(text);

// The members in the order in which RFC 7638 hashes them.
const jwk = JSON.stringify({ crv, kty, x, y });

export const reference = "sha256-" + sha256(jwk).digest("base64url");

export const headers = {
	"x-pagopa-lollipop-pub-key": Buffer.from(jwk).toString("base64url"),
	"x-pagopa-lollipop-pub-key-hash-algo": "sha256",
};

// signed are the headers of a request whose body is signed by the device (RFC 9421).
export function signed(method: string, url: string, body: unknown) {
	const set = {
		"x-pagopa-lollipop-original-method": method,
		"x-pagopa-lollipop-original-url": url,
		"content-digest": `sha-256=:${sha256(JSON.stringify(body)).digest("base64")}:`,
	};
	const names = Object.keys(set).map((name) => `"${name}"`).join(" ");
	const input = `(${names});created=${Math.floor(Date.now() / 1000)};keyid="${reference}"`;
	const base = Object.entries(set).map(([name, value]) => `"${name}": ${value}\n`).join("") +
		`"@signature-params": ${input}`;
	return { ...set, "signature-input": "sig1=" + input,
		signature: `sig1=:${sign("sha256", Buffer.from(base), privateKey).toString("base64")}:` };
}
