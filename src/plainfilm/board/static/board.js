"use strict";
// Without this script every link loads a page. With it the page stays where it is, and is refreshed while a run goes on.

const SLOWEST = 60; // seconds between two tries while the server is away
let wait = null;
let delay = 0;
let latest = 0; // of the requests: an earlier one that comes late is dropped
let going = false; // to the page of a link
let next = ""; // id of a link that was used meanwhile: where it leads depends on the page that comes

function load(address, then) {
  const mine = ++latest;
  const request = new XMLHttpRequest();
  request.responseType = "document"; // parsed without running anything in it
  request.timeout = 20000;
  request.onloadend = () => {
    if (mine !== latest) return;
    const found = request.status === 200 && request.response && request.response.getElementById("main");
    if (found) {
      show(found, request.response.title);
      if (then) then();
    } else lost();
    plan(Boolean(found));
    going = false;
    const link = next && document.getElementById(next);
    next = "";
    if (link) link.click();
  };
  request.open("GET", address);
  request.send();
}

function show(found, title) {
  const main = document.getElementById("main");
  const focus = document.activeElement ? document.activeElement.id : "";
  const open = [...main.querySelectorAll("details")].map((one) => one.open);
  const text = document.getElementById("filter") ? document.getElementById("filter").value : "";
  const at = main.querySelector(".runs") ? [main.querySelector(".runs").scrollLeft, main.querySelector(".runs").scrollTop] : [0, 0];
  const same = main.outerHTML === found.outerHTML;
  if (!same) {
    const kept = document.adoptNode(found);
    main.replaceWith(kept);
    document.title = title;
    const details = [...kept.querySelectorAll("details")];
    if (details.length === open.length) details.forEach((one, i) => { one.open = open[i]; });
    prepare(text);
    const box = kept.querySelector(".runs");
    if (box) [box.scrollLeft, box.scrollTop] = at;
    const again = focus && document.getElementById(focus);
    if (again) again.focus({ preventScroll: true });
  }
}

function lost() {
  const about = document.getElementById("about");
  if (about) about.textContent = "The server does not respond. What is below may be old.";
}

function plan(reached) {
  clearTimeout(wait);
  const every = Number(document.getElementById("main").dataset.every) || 30;
  delay = reached ? every : Math.min(SLOWEST, Math.max(every, 2 * delay));
  wait = setTimeout(() => (document.hidden || going ? plan(true) : load(location.href)), 1000 * delay);
}

function prepare(text) {
  const filter = document.getElementById("filter");
  if (!filter) return;
  document.getElementById("filter-label").hidden = false;
  filter.value = text;
  filter.addEventListener("input", hide);
  hide();
}

function hide() {
  const part = document.getElementById("filter").value.trim().toLowerCase();
  for (const row of document.querySelectorAll("#runs tbody tr")) {
    row.hidden = part !== "" && !row.textContent.toLowerCase().includes(part);
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[id]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button !== 0) return;
  event.preventDefault();
  if (going) {
    next = link.id;
    return;
  }
  going = true;
  load(link.href, () => history.pushState(null, "", link.href));
});
addEventListener("popstate", () => load(location.href));
document.addEventListener("visibilitychange", () => { if (!document.hidden) load(location.href); });
prepare("");
plan(true);
