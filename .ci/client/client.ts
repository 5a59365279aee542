// The generated client, and what every call of it is held to.
import { createClient, type Client } from "./generated/client";

export type { Client };

export const clientOf = (baseUrl: string): Client =>
	createClient({ baseUrl, basePath: "", fetchApi: (url, init) =>
		fetch(url, { redirect: "manual", ...init }) });

export function must(holds: unknown, what: string): asserts holds {
	if (!holds) throw new Error(what);
}

type Answer = { status: number; value: unknown };
type Decoded<A extends Answer> = { _tag: "Left"; left: unknown } | { _tag: "Right"; right: A };

// statusOf is the status of an answer that the client has decoded; another one is an error.
export async function statusOf(what: string, call: Promise<Decoded<Answer>>): Promise<number> {
	const got = await call;
	if (got._tag === "Right") return got.right.status;
	const errors = got.left as { value: unknown; context: { key: string }[] }[];
	throw new Error(`${what}: the client cannot decode the answer: ` + errors.map((e) =>
		e.value instanceof Response ? `status ${e.value.status}` :
			e.context.map((c) => c.key).join("/")).join(", "));
}

// ok is what a call answers with 200, decoded.
export async function ok<A extends Answer>(what: string, call: Promise<Decoded<A>>):
	Promise<Extract<A, { status: 200 }>["value"]> {
	const status = await statusOf(what, call);
	must(status === 200, `${what}: status ${status}, want 200`);
	const { right } = (await call) as Extract<Decoded<A>, { _tag: "Right" }>;
	return (right as Extract<A, { status: 200 }>).value;
}
