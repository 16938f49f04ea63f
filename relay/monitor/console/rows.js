// The rows: a page of them, one, and putting them back in line.

import { $, ago, bytes, count, el, plural, table } from "./dom.js";
import { get, post } from "./api.js";

const state = { after: 0, rows: [], selected: new Set(), isOpen: false, asked: 0 };

function filter() {
  const form = new FormData($("filter")), wanted = {};
  for (const name of ["status", "exchange", "routing_key", "error"])
    if (form.get(name)) wanted[name] = form.get(name);
  const [name, value] = form.get("age").split("=");
  if (name) wanted[name] = value;
  return wanted;
}

const isFailed = () => $("filter").elements.status.value === "failed";

function say(text, isBad = false) {
  $("rows-note").textContent = text;
  $("rows-note").classList.toggle("bad", isBad);
}

// --- a page ---

function select(row, isSelected) {
  if (isSelected) state.selected.add(row.id); else state.selected.delete(row.id);
  const n = state.selected.size;
  $("requeue-selected").disabled = n === 0;
  $("requeue-selected").textContent = n ? `Requeue ${plural(n, "row")}` : "Requeue selected";
}

function checkbox(row) {
  const box = el("input", { type: "checkbox", "aria-label": `select row ${row.id}` });
  box.checked = state.selected.has(row.id);
  box.addEventListener("change", () => select(row, box.checked));
  return box;
}

const columns = () => [
  ...(isFailed() ? [["", "", checkbox]] : []),
  ["Id", "number", (row) => el("button", { type: "button", class: "link", onclick: () => show(row.id) }, String(row.id))],
  ["Exchange", "text", (row) => row.exchange || "(default)"],
  ["Routing key", "text", (row) => row.routing_key],
  ["Tries", "number", (row) => count(row.try_count)],
  ["Changed", "number", (row) => ago(row.updated_at)],
  ["Size", "number", (row) => bytes(row.payload_bytes)],
  ["Error", "text error", (row) => row.last_error ?? ""],
];

function draw(page) {
  const words = { failed: "failed", sending: "on their way", sent: "sent" }[$("filter").elements.status.value];
  state.rows = page.rows;
  $("rows-table").classList.add("wide");
  $("rows-table").replaceChildren(page.rows.length
    ? table(`the newest first`, columns(), page.rows)
    : el("p", { class: "quiet" }, state.after ? "no more rows" : `no rows ${words} match`));
  $("rows-more").hidden = !page.more;
  $("rows-first").hidden = !state.after;
  $("requeue-selected").hidden = $("requeue-all").hidden = !isFailed();
  $("requeue-all").disabled = page.rows.length === 0;
}

// Answers that were overtaken by another question are thrown away.
async function load() {
  const asked = ++state.asked;
  try {
    const page = await get("rows", { ...filter(), ...(state.after ? { after: state.after } : {}) });
    if (asked === state.asked) draw(page);
  } catch (problem) {
    if (asked === state.asked) say(problem.message, true);
  }
}

function start(after) {
  state.after = after;
  state.selected.clear();
  select({ id: 0 }, false);
  say("");
  return load();
}

// Not under the hands of somebody who selects or reads.
export function refresh() {
  if (state.isOpen && !state.after && !state.selected.size && !document.querySelector("dialog[open]"))
    load();
}

// "": open; else why not
export function setOpen(reason) {
  $("rows-closed").hidden = !reason;
  $("rows-closed").textContent = reason;
  $("rows-open").hidden = Boolean(reason);
  if (!reason && !state.isOpen) start(0);
  state.isOpen = !reason;
}

// --- one row ---

const definition = (name, value) =>
  value === null || value === undefined || value === "" ? [] : [el("dt", {}, name), el("dd", {}, String(value))];

const json = (value) => value === null ? null : JSON.stringify(value, null, 1);

const attempts = [
  ["When", "number", (a) => ago(a.at)],
  ["Relay", "text", (a) => a.relay],
  ["Verdict", "", (a) => a.verdict],
  ["Charged", "", (a) => a.charged ? "yes" : "no"],
  ["Latency", "number", (a) => a.latency_ms === null ? "–" : `${a.latency_ms} ms`],
  ["Reason", "text error", (a) => a.reason ?? ""],
];

function describe(row) {
  const isCut = row.payload_bytes > 4096;
  return [
    el("dl", {},
      ...definition("message_id", row.message_id),
      ...definition("status", row.status),
      ...definition("exchange", row.exchange || "(default)"),
      ...definition("routing_key", row.routing_key),
      ...definition("try_count", row.try_count),
      ...definition("last_error", row.last_error),
      ...definition("next_retry", row.status === "sending" ? `${row.next_retry} (${ago(row.next_retry)})` : null),
      ...definition("created_at", `${row.created_at} (${ago(row.created_at)})`),
      ...definition("updated_at", `${row.updated_at} (${ago(row.updated_at)})`),
      ...definition("content_type", row.content_type),
      ...definition("claim", row.claim_id),
      ...definition("headers", json(row.headers)),
      ...definition("properties", json(row.properties))),
    row.attempts.length ? el("div", { class: "scroll wide" }, table("attempts, the oldest first", attempts, row.attempts)) : null,
    el("h3", {}, `Payload: ${row.payload_kind === "json" ? "JSON" : row.payload_kind}, ${bytes(row.payload_bytes)}` +
      (isCut ? ", of which the first 4 KiB" : "")),
    row.payload ? el("pre", { tabindex: "0", "aria-label": "payload" }, row.payload) : null,
  ].filter((part) => part !== null);
}

async function show(id) {
  const dialog = $("row-dialog");
  try {
    const row = await get(`rows/${id}`);
    $("row-title").textContent = `Row ${row.id}`;
    $("row-body").replaceChildren(...describe(row));
    $("row-requeue").hidden = row.status !== "failed";
    $("row-requeue").onclick = async () => { dialog.close(); await requeue({ ids: [row.id] }); };
    dialog.showModal();
  } catch (problem) {
    say(problem.message, true);
  }
}

// --- requeueing ---

// One step after the other, until it is done or `isStopped()`.
async function walk(request, isStopped, tell) {
  const sum = { matched: 0, changed: 0, done: false };
  let place = {};
  while (!sum.done && !isStopped()) {
    const step = await post("requeue", { ...request, ...place });
    place = { after_id: step.after_id, upto_id: step.upto_id };
    sum.matched += step.matched;
    sum.changed += step.changed;
    sum.done = step.done;
    tell(sum);
  }
  return sum;
}

const result = (sum) => `requeued ${plural(sum.changed, "row")}` +
  (sum.matched > sum.changed ? `; left alone: ${plural(sum.matched - sum.changed, "row")}, which others have locked or changed` : "") +
  (sum.done ? "" : "; stopped before the end");

async function requeue(request) {
  try {
    const sum = await walk(request, () => false, () => {});
    await start(0);
    say(result(sum));
  } catch (problem) {
    say(problem.message, true);
  }
}

async function requeueAll() {
  const { status, ...wanted } = filter();
  const dialog = $("requeue-dialog"), go = $("requeue-go"), bar = $("requeue-progress");
  let isStopped = false;
  dialog.onclose = () => { isStopped = true; };
  $("requeue-stop").onclick = () => dialog.close();
  go.hidden = true;
  $("requeue-stop").textContent = "Cancel";
  bar.hidden = false;
  bar.removeAttribute("value");
  $("requeue-text").textContent = "counting…";
  dialog.showModal();
  try {
    const found = await walk({ filter: wanted, dry_run: true }, () => isStopped,
      (sum) => { $("requeue-text").textContent = `counting: ${plural(sum.matched, "row")}`; });
    if (isStopped) return;
    $("requeue-text").textContent = `${plural(found.matched, "row")} would be requeued.`;
    bar.hidden = true;
    go.hidden = found.matched === 0;
    go.focus();
    go.onclick = async () => {
      go.hidden = true;
      bar.hidden = false;
      bar.max = found.matched;
      $("requeue-stop").textContent = "Stop";
      try {
        const sum = await walk({ filter: wanted }, () => isStopped, (s) => {
          bar.value = s.changed;
          $("requeue-text").textContent = `requeued ${count(s.changed)} of ${plural(found.matched, "row")}`;
        });
        dialog.close();
        await start(0);
        say(result(sum));
      } catch (problem) {
        dialog.close();
        say(problem.message, true);
      }
    };
  } catch (problem) {
    dialog.close();
    say(problem.message, true);
  }
}

$("filter").addEventListener("submit", (event) => { event.preventDefault(); start(0); });
$("filter").elements.status.addEventListener("change", () => start(0));
$("filter").elements.age.addEventListener("change", () => start(0));
$("rows-more").addEventListener("click", () => start(state.rows.at(-1).id));
$("rows-first").addEventListener("click", () => start(0));
$("requeue-selected").addEventListener("click", () => requeue({ ids: [...state.selected] }));
$("requeue-all").addEventListener("click", requeueAll);
