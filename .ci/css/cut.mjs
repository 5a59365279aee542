// Writes what the templates use of Bootstrap Italia's style, fonts and pictures left out: the fonts
// are ours to name, and the pages' policy allows no picture within a style.
import { PurgeCSS } from "purgecss";
import fs from "node:fs";

const [style, out, ...templates] = process.argv.slice(2);
const [cut] = await new PurgeCSS().purge({
	content: templates,
	css: [style],
	variables: true,
	keyframes: true,
	defaultExtractor: (text) => text.match(/[A-Za-z][\w-]*/g) ?? [],
});
const text = cut.css
	.replace(/^\uFEFF/, "")
	.replace(/@font-face\s*{[^}]*}/g, "")
	.replace(/background-image:\s*url\("data:[^"]*"\);?/g, "")
	.replace(/[^{}]*{}/g, "");
if (/url\(/.test(text)) throw new Error("the style still names another file");
fs.writeFileSync(out, text.trim() + "\n");
