// What a page does besides, where there is a script: focus goes to what a form is told, and a form
// is sent once. Everything works without it.
"use strict";
for (const note of document.querySelectorAll("[data-focus]")) note.focus();
for (const form of document.forms) {
	form.addEventListener("submit", (event) => {
		if (form.dataset.sent) event.preventDefault();
		form.dataset.sent = "1";
	});
}
// A page that comes back from the browser's memory may be sent again.
addEventListener("pageshow", () => {
	for (const form of document.forms) delete form.dataset.sent;
});
