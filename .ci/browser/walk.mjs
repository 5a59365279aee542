// The walk: node walk.mjs <staffetta> <chromium> <work> <pictures>.
import fs from "node:fs";
import path from "node:path";
import axe from "axe-core";
import puppeteer from "puppeteer-core";
import { message, start } from "./federation.mjs";

const [binary, chromium, work, shots] = process.argv.slice(2);
const widths = [390, 1280];
const faults = [];
const fault = (text) => {
	faults.push(text);
	console.error("FAULT " + text);
};
fs.mkdirSync(shots, { recursive: true });

const federation = await start(binary, work);
const browser = await puppeteer.launch({ executablePath: chromium, headless: true,
	userDataDir: path.join(work, "profile"), args: ["--headless", "--no-sandbox", "--disable-gpu",
		"--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync"] });

// newPage is a tab of a browser of its own. What it says to its console and asks of others is a
// fault, but for the statuses that a step expects.
async function newPage({ language = "it", script = true } = {}) {
	const context = await browser.createBrowserContext();
	const page = await context.newPage();
	page.setDefaultTimeout(60000);
	await page.setJavaScriptEnabled(script);
	await page.setExtraHTTPHeaders({ "Accept-Language": language });
	page.expected = [];
	page.on("console", (m) => {
		if (m.type() === "error" && !page.expected.some((s) => m.text().includes(s))) {
			fault(`${page.url()}: the console says ${m.text()}`);
		}
	});
	page.on("pageerror", (e) => fault(`${page.url()}: ${e}`));
	page.on("request", (r) => {
		if (!r.url().startsWith(federation.base + "/") && !page.elsewhere) fault(`asks ${r.url()}`);
	});
	return page;
}

const go = (page, where) => page.goto(federation.base + where);
async function click(page, selector) {
	await Promise.all([page.waitForNavigation(), page.click(selector)]);
}
async function expectAt(page, where) {
	const at = page.url().slice(federation.base.length);
	if (at !== where) fault(`at ${at}, want ${where}`);
}
async function expectText(page, text) {
	const body = await page.$eval("body", (b) => b.textContent);
	if (!body.includes(text)) fault(`${page.url()} lacks "${text}"`);
}

// look takes the pictures of a page, and holds it against the rules in each width.
async function look(page, name) {
	for (const width of widths) {
		await page.setViewport({ width, height: 900 });
		await page.screenshot({ path: path.join(shots, `${name}-${width}.png`), fullPage: true });
		await page.evaluate(axe.source);
		const found = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a",
			"wcag21aa", "wcag22aa", "best-practice"] }));
		for (const v of found.violations) {
			fault(`${name} at ${width}: ${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(" ")}`);
		}
	}
	await page.setViewport({ width: 320, height: 900 });
	const wide = await page.evaluate(() => document.documentElement.scrollWidth);
	if (wide > 320) fault(`${name} is ${wide} wide in 320`);
	await page.setViewport({ width: 1280, height: 900 });
}

async function signIn(page, code) {
	await page.type("#code", code);
	await page.type("#password", "test");
	await click(page, ".panel button");
}

// byLink: the link that local prints leads through the test provider to the first citizen's inbox,
// and from there to a document that an institution keeps.
async function byLink() {
	const page = await newPage();
	page.elsewhere = true; // the provider, which has no icon
	page.expected.push("404");
	await page.goto(federation.login);
	await click(page, "button");
	page.elsewhere = false;
	await expectAt(page, "/inbox");
	await look(page, "inbox-unread");
	const link = await page.evaluateHandle(() =>
		[...document.querySelectorAll(".messages a")].find((a) => a.textContent.includes("ricevuta")));
	await Promise.all([page.waitForNavigation(), link.click()]);
	await expectText(page, "ricevuta.pdf");
	await look(page, "message-documents");
	const href = await page.$eval("a[href*='/attachment']", (a) => a.href);
	const cookie = (await page.cookies()).map((c) => `${c.name}=${c.value}`).join("; ");
	const got = await fetch(href, { headers: { Cookie: cookie } });
	const body = await got.text();
	if (!got.headers.get("Content-Disposition")?.startsWith("attachment; filename=ricevuta.pdf") ||
		!body.startsWith("%PDF-")) fault(`the document is ${got.status}`);
	await page.browserContext().close();
}

// firstPage: six languages, and what it weighs.
async function firstPage() {
	for (const language of ["it", "en", "de", "fr", "sl", "es"]) {
		const page = await newPage({ language });
		const session = await page.createCDPSession();
		await session.send("Network.enable");
		let bytes = 0;
		session.on("Network.loadingFinished", (e) => (bytes += e.encodedDataLength));
		await go(page, "/");
		const lang = await page.$eval("html", (h) => h.lang);
		if (lang !== language) fault(`the first page in ${language} says ${lang}`);
		if (bytes > 100 * 1024) fault(`the first page has ${bytes} bytes`);
		console.log(`first page in ${language}: ${bytes} bytes`);
		await look(page, `first-${language}`);
		await page.browserContext().close();
	}
}

// visit: a citizen who never was here, from the first page to the end of the session.
async function visit() {
	const page = await newPage();
	await go(page, "/");
	page.expected.push("422");
	await page.type("#code", "X");
	await page.type("#password", "x");
	await click(page, ".panel button");
	await look(page, "sign-in-refused");
	if (!(await page.evaluate(() => document.activeElement.matches(".alert-danger")))) {
		fault("the summary of errors has not the focus");
	}
	await go(page, "/");
	await signIn(page, federation.newcomer);
	await expectAt(page, "/terms");
	await look(page, "terms");
	await click(page, "form[action='/terms'] button");
	await look(page, "terms-refused");
	await page.click("#mode-auto");
	await page.click("#accept");
	await click(page, "form[action='/terms'] button");
	await expectAt(page, "/inbox?welcome=1");
	await look(page, "inbox-empty");
	await federation.send(federation.newcomer, message);
	for (let i = 0; i < 3; i++) {
		await federation.send(federation.newcomer, { subject: `Avviso numero ${i + 1} del comune`,
			markdown: "Un avviso che ha almeno ottanta caratteri, come chiede il contratto delle istituzioni." });
	}
	await go(page, "/inbox");
	await look(page, "inbox");
	await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
	await look(page, "inbox-dark");
	await nameOf(page);
	await click(page, ".messages li:last-child a");
	await look(page, "message-dark");
	await page.emulateMediaFeatures([]);
	await look(page, "message");
	await page.emulateMediaType("print");
	await page.screenshot({ path: path.join(shots, "message-print.png"), fullPage: true });
	await page.emulateMediaType("screen");
	await click(page, ".way-back a");
	await expectText(page, "Letto");
	await click(page, ".messages li:last-child a");
	await click(page, "form[action*='/archive'] button");
	await expectAt(page, "/inbox?done=archived");
	await go(page, "/inbox?view=archived");
	await look(page, "archive");
	await click(page, ".messages a");
	await click(page, "a[href^='/services/']");
	await look(page, "service");
	await page.click("#email");
	await click(page, "form[action^='/services/'] button");
	await expectText(page, "La tua scelta è salvata");
	await others(page);
	await click(page, "form[action='/sign-out'] button");
	await expectAt(page, "/?signed-out=1");
	await look(page, "signed-out");
	await go(page, "/inbox");
	await expectAt(page, "/");
	await page.browserContext().close();
}

// others are the pages beside the messages.
async function others(page) {
	for (const name of ["services", "search", "profile", "devices", "help", "privacy", "accessibility"]) {
		await go(page, "/" + name);
		await look(page, name);
	}
	await go(page, "/search");
	await page.type("#words", "avviso comune");
	await click(page, "main button");
	await expectText(page, "Avviso numero 1 del comune");
	await look(page, "found");
	await click(page, ".messages a");
	await page.click("details.choose summary");
	await look(page, "delete");
	await click(page, "form[action*='/delete'] button");
	await expectText(page, "è stato cancellato");
	page.expected.push("404");
	await go(page, "/inbox/01GQQDPM127KFGG6T3660D5TXD");
	await look(page, "absent");
	await go(page, "/nothing");
	await look(page, "nothing");
	await go(page, "/help");
}

// nameOf holds the name of a list's item against what a screen reader is to say.
async function nameOf(page) {
	const tree = await page.accessibility.snapshot();
	const names = [];
	const visit = (n) => {
		if (n.role === "link") names.push(n.name);
		(n.children ?? []).forEach(visit);
	};
	visit(tree);
	const want = /^Comune di Prova\s?, ·? ?[^,]+\s?, Avviso numero 3 del comune\s?, .+ 20\d\d\s?, Da leggere$/;
	if (!names.some((n) => want.test(n.replace(/\s+/g, " ")))) {
		fault("no item of the list has its one name: " + JSON.stringify(names));
	}
}

// keyboard: the first stop leads past the menu, and what has the focus is seen.
async function keyboard() {
	const page = await newPage();
	await go(page, "/");
	await page.keyboard.press("Tab");
	const first = await page.evaluate(() => document.activeElement.getAttribute("href"));
	if (first !== "#content") fault(`the first stop of the keyboard is ${first}`);
	await page.screenshot({ path: path.join(shots, "skip-link.png") });
	await page.keyboard.press("Tab");
	await page.keyboard.press("Tab");
	await page.keyboard.press("Enter");
	await page.screenshot({ path: path.join(shots, "languages-open.png") });
	await page.browserContext().close();
}

// plain: the same without JavaScript.
async function plain() {
	const page = await newPage({ script: false });
	await go(page, "/");
	await signIn(page, federation.active);
	await expectAt(page, "/inbox");
	await click(page, ".messages a");
	await click(page, "form[action*='/archive'] button");
	await expectText(page, "nell’archivio");
	await page.click(".languages summary");
	await click(page, "button[value=sl]");
	if ((await page.$eval("html", (h) => h.lang)) !== "sl") fault("the language stays");
	await click(page, "form[action='/sign-out'] button");
	await expectText(page, "Odjavljeni ste");
	await page.browserContext().close();
}

// killed: the region's node dies between two clicks; the page says what to do, and that helps.
async function killed() {
	const page = await newPage();
	page.expected.push("503");
	await go(page, "/");
	await signIn(page, federation.active);
	const node = federation.nodeOf("lazio");
	process.kill(node, "SIGSTOP");
	await go(page, "/inbox?view=archived");
	await expectText(page, "Riprova tra poco");
	await look(page, "away");
	process.kill(node, "SIGKILL");
	for (let tries = 0; tries < 60 && (await page.$("main a[href='/inbox?view=archived']")); tries++) {
		await click(page, "main a.btn-primary");
		if (!(await page.$("main .btn-primary"))) break;
	}
	await expectText(page, "Messaggi archiviati");
	await page.browserContext().close();
}

for (const part of [byLink, firstPage, visit, keyboard, plain, killed]) {
	const began = Date.now();
	await part().catch((e) => fault(`${part.name}: ${e.stack}`));
	console.log(`${part.name}: ${((Date.now() - began) / 1000).toFixed(0)} s`);
}
await browser.close();
await federation.stop();
console.log(faults.length ? `${faults.length} faults` : "the pages are walked through without a fault");
process.exit(faults.length ? 1 : 0);
