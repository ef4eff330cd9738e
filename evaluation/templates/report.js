
"use strict";
// Puts the texts of a question's passages in when it is opened; each text is in the file once.
const texts = JSON.parse(document.getElementById("texts").textContent);

function part(letters, start, end) {
  return letters.slice(start, end).join("").replace(/\n\s*\n/g, "\n");
}

function show(item) {
  const letters = Array.from(texts[item.dataset.text]); // by characters, as the marks count them
  const shown = document.createElement("p");
  let at = 0;
  for (const pair of (item.dataset.marks || "").split(" ").filter(Boolean)) {
    const [start, end] = pair.split("-").map(Number);
    const mark = document.createElement("mark");
    mark.textContent = part(letters, start, end);
    shown.append(part(letters, at, start), mark);
    at = end;
  }
  shown.append(part(letters, at, letters.length));
  item.append(shown);
  item.removeAttribute("data-text");
}

document.addEventListener("toggle", (event) => {
  if (event.target.open && event.target.classList.contains("question")) {
    event.target.querySelectorAll("[data-text]").forEach(show);
  }
}, true);
