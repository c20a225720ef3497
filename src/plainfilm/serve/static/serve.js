// The page's script: sends one image per request, two at a time, and shows the predictions in the order of the images.
// File names stay in this browser. Text is set as text, never as HTML.
"use strict";

const byId = (id) => document.getElementById(id);
const model = JSON.parse(byId("app").dataset.model);
const results = []; // {name, file, prediction, item}
const waiting = [];
const AT_ONCE = 2;
const MOST_TRIES = 60;
let working = 0;

// Escapes characters that are invisible or change the writing direction.
const shown = (text, most = 120) => {
  const seen = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));
  return seen.length > most ? seen.slice(0, most) + "…" : seen;
};
// 0.9996 must not read as 1.
const fixed = (score) => (score > 0 && score < 0.0005 ? "< 0.001" : score < 1 && score >= 0.9995 ? "> 0.999" : score.toFixed(3));
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const make = (id) => byId(id).content.firstElementChild.cloneNode(true);

async function request(file, show) {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const body = new FormData();
    body.append("file", file, "image"); // the name stays here
    const reply = await fetch("predict?show=" + show, { method: "POST", body });
    if (reply.status === 503) {
      await sleep(Number(reply.headers.get("Retry-After")) || 1);
      continue;
    }
    const document = await reply.json().catch(() => ({ error: "The server returned status " + reply.status + "." }));
    return reply.ok ? document.results[0] : { error: document.error };
  }
  return { error: "Too many images are waiting on the server. Try again later." };
}

function add(name, file) {
  const item = make("result");
  item.querySelector(".name").textContent = shown(name);
  item.classList.add("working");
  item.querySelector(".predicted").textContent = "waiting";
  byId("list").append(item);
  const result = { name, file, prediction: null, item };
  results.push(result);
  waiting.push(result);
  while (working < AT_ONCE && waiting.length) work();
  updateStatus();
}

async function work() {
  working += 1;
  while (waiting.length) {
    const result = waiting.shift();
    result.item.querySelector(".predicted").textContent = "reading";
    try {
      result.prediction = await request(result.file, "seen");
    } catch {
      result.prediction = { error: "The server does not respond. Is it still running?" };
    }
    draw(result);
    updateStatus();
  }
  working -= 1;
}

function draw(result) {
  const { item, prediction } = result;
  item.classList.remove("working");
  const line = item.querySelector(".predicted");
  line.textContent = "";
  if (prediction.error) {
    line.remove();
    item.classList.add("bad");
    flag(item, "stop", "No score.", shown(prediction.error, 300));
    return;
  }
  drawPredicted(line, prediction);
  drawScores(item.querySelector(".scores"), prediction);
  for (const name of prediction.flags) flag(item, "mind", shown(name), model.flags[name] || "");
  drawSeen(result);
}

function drawPredicted(line, prediction) {
  const label = document.createElement("b");
  label.textContent = shown(prediction.label, 60);
  if (model.threshold === null) line.append("Highest score: ", label);
  else {
    const side = prediction.score >= model.threshold ? "at or above" : "below";
    line.append("Predicted ", label, ": the score is " + side + " the threshold");
  }
}

function drawScores(box, prediction) {
  const classes = model.positive === null ? model.vocab : [model.positive];
  for (const name of classes) {
    const row = make("score");
    const score = prediction.probs[name];
    row.classList.add(model.positive !== null || name === prediction.label ? "main" : "other");
    row.querySelector("bdi").textContent = (model.positive === null ? "" : "score for class ") + shown(name, 60);
    row.querySelector(".value").textContent = fixed(score);
    row.querySelector(".fill").style.width = 100 * score + "%";
    const tick = row.querySelector(".tick");
    const label = row.querySelector(".tick-label");
    if (model.threshold === null) {
      tick.remove();
      label.remove();
    } else {
      tick.style.left = 100 * model.threshold + "%";
      const text = document.createElement("span");
      text.textContent = "threshold " + fixed(model.threshold);
      text.style.left = Math.min(Math.max(100 * model.threshold, 12), 88) + "%";
      label.append(text);
    }
    box.append(row);
  }
}

function drawSeen(result) {
  const { item, prediction } = result;
  const seen = item.querySelector(".seen");
  seen.src = prediction.seen;
  seen.alt = "What the network sees";
  seen.hidden = false;
  item.querySelector("figcaption").textContent = "what the network sees, " + model.size_px + " × " + model.size_px;
  const button = item.querySelector(".heat-button");
  button.hidden = false;
  if (!model.heat) {
    button.replaceWith("");
    return;
  }
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => toggleHeat(result, button));
}

async function toggleHeat(result, button) {
  const heat = result.item.querySelector(".heat");
  const note = result.item.querySelector(".heat-note");
  if (!heat.src) {
    button.disabled = true;
    button.textContent = "Drawing the heat map …";
    const prediction = await request(result.file, "heat").catch(() => ({ error: "The server does not respond." }));
    button.disabled = false;
    if (!prediction.heat) {
      button.textContent = "Show heat map";
      note.textContent = shown(prediction.error || "No heat map can be made of this network.", 300);
      note.hidden = false;
      return;
    }
    heat.src = prediction.heat;
    heat.alt = "Heat map";
    button.focus();
  }
  heat.hidden = !heat.hidden;
  note.hidden = heat.hidden;
  button.textContent = heat.hidden ? "Show heat map" : "Hide heat map";
  button.setAttribute("aria-pressed", String(!heat.hidden));
}

function flag(item, level, title, text) {
  const line = document.createElement("p");
  const name = document.createElement("b");
  line.className = "flag " + level;
  name.textContent = title;
  line.append(name, text);
  item.querySelector(".flags").append(line);
}

function updateStatus() {
  const done = results.filter((result) => result.prediction);
  const bad = done.filter((result) => result.prediction.error).length;
  const flagged = done.filter((result) => !result.prediction.error && result.prediction.flags.some((name) => !model.not_judged.includes(name))).length;
  const many = (n, one) => n + " " + one + (n === 1 ? "" : "s");
  const parts = [done.length < results.length ? done.length + " of " + many(results.length, "image") + " read" : many(results.length, "image") + " read"];
  if (bad) parts.push(bad + " without a score");
  if (flagged) parts.push(flagged + " flagged");
  byId("status").textContent = results.length ? parts.join(", ") + "." : "No image yet.";
  byId("save").hidden = byId("clear").hidden = !results.length || done.length < results.length;
}

// A cell that a spreadsheet would take for a formula gets an apostrophe.
const cell = (value) => {
  const text = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]/.test(value) || /^[\t\r]/.test(value) ? "'" + value : String(value);
  return '"' + text.replaceAll('"', '""') + '"';
};

function save() {
  const head = ["name", "label", "score", ...model.vocab.map((name) => "prob_" + name), "flag", "error"];
  const rows = results.map(({ name, prediction: a }) => [
    name, a.error ? "" : a.label, a.error ? "" : a.score, ...model.vocab.map((c) => (a.error ? "" : a.probs[c])),
    a.error ? "" : a.flags.join("; "), a.error || "",
  ]);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([[head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = "plainfilm-scores.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function clear() {
  results.length = 0;
  byId("list").replaceChildren();
  updateStatus();
  byId("files").focus();
}

const drop = byId("drop");
const take = (files) => [...files].forEach((file) => add(file.name, file));
drop.addEventListener("submit", (event) => event.preventDefault());
byId("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
drop.addEventListener("dragover", () => drop.classList.add("over"));
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => take(event.dataTransfer.files));
byId("save").addEventListener("click", save);
byId("clear").addEventListener("click", clear);
for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", async () => add(example.dataset.name, await (await fetch(example.dataset.address)).blob()));
}
