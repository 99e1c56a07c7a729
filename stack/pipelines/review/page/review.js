"use strict";
// One page over the server's JSON. What is shown is always what the server has on disk: nothing counts before its answer.
const at = (id) => document.getElementById(id);
const kept = { // storage may be switched off; then the name is asked again
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* asked again */ } },
};
const choices = [...document.querySelectorAll(".choice")];
let token = document.querySelector('meta[name="review-token"]').content;
let reviewer = kept.get("reviewer") || "";
let mode = "vote";
let state = null;
let shown = null;
let disputes = [];
let busy = false;

async function call(path, body, again = true) {
  const headers = { "x-review-token": token };
  const how = body === undefined ? { headers } : { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, how);
  } catch {
    throw new Error("The server does not answer. Nothing was saved; start it again and repeat.");
  }
  const said = await answer.json().catch(() => ({ error: `status ${answer.status}` }));
  if (answer.status === 403 && said.error === "token" && again) { // the server was started anew: take its token
    const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
    token = page.querySelector('meta[name="review-token"]').content;
    return call(path, body, false);
  }
  if (!answer.ok) throw new Error(said.error);
  return said;
}

async function work(task) { // one thing at a time, faults told
  if (busy || !reviewer) return;
  busy = true;
  try {
    await task();
    at("fault").hidden = true;
  } catch (error) {
    at("fault").textContent = error.message;
    at("fault").hidden = false;
  } finally {
    busy = false;
  }
}

const me = () => `reviewer=${encodeURIComponent(reviewer)}`;

function tell(fresh) {
  state = fresh;
  at("progress").max = Math.max(1, state.total);
  at("progress").value = state.total - state.left;
  at("count").textContent = `${state.voted} voted, ${state.skipped} skipped, ${state.left} left of ${state.total}`;
  at("disputed").textContent = state.disputed;
  at("undo").disabled = !state.can_undo;
}

function pairs(list) { // a definition list from [name, value] pairs, as text only
  const dl = document.createElement("dl");
  for (const [name, value] of list) {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.dir = dd.dir = "auto";
    dt.textContent = name;
    dd.textContent = value;
    dl.append(dt, dd);
  }
  return dl;
}

function showVotes(labelers) {
  const box = at("votes");
  box.replaceChildren();
  if (labelers === null) {
    box.textContent = shown ? "Hidden until you have voted." : "";
    return;
  }
  const list = Object.entries(labelers.votes).map(([name, label]) => [name, label ?? "(none)"]);
  if (labelers.label !== null) {
    const sure = labelers.probability === null ? "" : ` (${labelers.probability.toFixed(2)})`;
    list.push(["combined", labelers.label + sure]);
  }
  if (labelers.gold !== null) list.push(["gold", labelers.gold]);
  box.append(list.length ? pairs(list) : "No labeler voted.");
}

function show(record, heading) {
  shown = record;
  at("record-title").textContent = heading;
  const text = at("record");
  text.textContent = record ? record.text : mode === "vote" ? "There is nothing left to vote on. Go back with \u2190, or settle disputes with a." : "No disputes. Press a to go back.";
  text.lang = record ? record.language : "";
  text.scrollTop = 0;
  at("more").hidden = !record || !record.hidden;
  at("more").textContent = record && record.hidden ? `${record.hidden} more characters are not shown.` : "";
  for (const button of choices) {
    button.disabled = !record;
    button.setAttribute("aria-pressed", String(Boolean(record && record.mine && record.mine.label === button.dataset.label)));
  }
  at("skip").disabled = !record || mode !== "vote";
  at("note").disabled = !record;
  at("note").value = record && record.mine ? record.mine.note : "";
  showVotes(record ? record.labelers : null);
  const people = at("people");
  people.hidden = !record || !record.people;
  people.replaceChildren();
  if (record && record.people) people.append(pairs(Object.entries(record.people).map(([who, vote]) => [who, vote.note ? `${vote.label} \u2013 ${vote.note}` : vote.label])));
}

async function open(position) {
  const count = at("reveal").checked ? 1 : 0;
  const record = await call(`/api/record?${me()}&position=${position}&votes=${count}`);
  const done = record.mine ? (record.mine.label === null ? " \u00b7 skipped" : " \u00b7 voted") : "";
  const about = [record.language, record.source].filter(Boolean).join(", ");
  show(record, `Record ${position + 1} of ${state.total}${about ? ` \u00b7 ${about}` : ""}${done}`);
}

async function openNext() {
  if (state.next === null) show(null, "All done");
  else await open(state.next);
}

async function openDispute(index) {
  const record = disputes[index];
  show(record ? { ...record, mine: null, index } : null, record ? `Dispute ${index + 1} of ${disputes.length}: settle it` : "Disputes");
}

async function enter(next) {
  mode = next;
  at("adjudicate").setAttribute("aria-pressed", String(mode === "adjudicate"));
  at("reveal").parentElement.hidden = mode === "adjudicate"; // all votes are shown there
  tell(await call(`/api/state?${me()}`));
  if (mode === "adjudicate") {
    disputes = (await call(`/api/disputes?${me()}`)).disputes;
    await openDispute(0);
  } else {
    await openNext();
  }
}

async function decide(label) {
  if (!shown) return;
  const kind = mode === "adjudicate" ? "adjudication" : "vote";
  const body = { reviewer, kind, record_id: shown.record_id, label, note: at("note").value };
  tell((await call("/api/decide", body)).state);
  at("note").blur();
  if (mode === "adjudicate") {
    disputes = disputes.filter((each) => each.record_id !== shown.record_id);
    await openDispute(Math.min(shown.index, Math.max(0, disputes.length - 1)));
  } else { // straight on is quicker: a record's votes are seen by going back to it
    await openNext();
  }
}

async function undo() {
  const back = await call("/api/undo", { reviewer });
  tell(back.state);
  if (mode === "adjudicate") await enter("adjudicate");
  else if (back.position === null) await openNext();
  else await open(back.position);
}

async function move(by) {
  if (mode === "adjudicate") {
    if (shown) await openDispute(Math.min(disputes.length - 1, Math.max(0, shown.index + by)));
    return;
  }
  const from = shown ? shown.position : state.total;
  const to = Math.min(state.total - 1, Math.max(0, from + by));
  if (state.total && to !== from) await open(to);
}

function askName() {
  at("name").value = reviewer;
  at("name-dialog").showModal();
}

at("name-dialog").addEventListener("close", () => {
  const name = at("name").value.trim();
  if (name) {
    reviewer = name;
    kept.set("reviewer", reviewer);
  }
  if (!reviewer) { askName(); return; }
  start();
});

function start() {
  at("who").textContent = reviewer;
  at("who").setAttribute("aria-label", `Reviewer ${reviewer}: change`);
  work(() => enter("vote"));
}

const reveal = () => work(async () => {
  kept.set("reveal", at("reveal").checked ? "1" : "");
  if (mode === "vote" && shown) await open(shown.position);
});
const toggle = () => work(() => enter(mode === "vote" ? "adjudicate" : "vote"));
const keys = {
  ArrowLeft: () => work(() => move(-1)),
  ArrowRight: () => work(() => move(1)),
  s: () => { if (!at("skip").disabled) work(() => decide(null)); },
  u: () => { if (!at("undo").disabled) work(undo); },
  a: toggle,
  n: () => at("note").focus(),
  v: () => { at("reveal").checked = !at("reveal").checked; reveal(); },
  "?": () => at("help-dialog").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.matches('input[type="text"]')) {
    if (event.key === "Enter" || event.key === "Escape") { event.target.blur(); event.preventDefault(); }
    return;
  }
  if (event.repeat && !event.key.startsWith("Arrow")) return; // a key held down decides once
  const digit = /^[0-9]$/.test(event.key) ? (Number(event.key) + 9) % 10 : -1;
  const action = digit >= 0 && choices[digit] ? () => work(() => decide(choices[digit].dataset.label)) : Object.hasOwn(keys, event.key) ? keys[event.key] : keys[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  action();
});

for (const button of choices) button.addEventListener("click", () => work(() => decide(button.dataset.label)));
at("back").addEventListener("click", keys.ArrowLeft);
at("forward").addEventListener("click", keys.ArrowRight);
at("skip").addEventListener("click", keys.s);
at("undo").addEventListener("click", keys.u);
at("adjudicate").addEventListener("click", toggle);
at("help").addEventListener("click", keys["?"]);
at("who").addEventListener("click", askName);
at("reveal").addEventListener("change", reveal);
at("reveal").checked = kept.get("reveal") === "1";
if (reviewer) start();
else askName();
