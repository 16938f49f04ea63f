// The page: asks how the relay is every two seconds, and what the table has every ten.

import { $, age, bytes, count, el, estimate, plural, table } from "./dom.js";
import { Refusal, get, token } from "./api.js";
import { Chart } from "./chart.js";
import { refresh, setOpen } from "./rows.js";

const STATUS_MS = 2000;
const TABLE_MS = 10000;
const WINDOW = 5; // samples that a latency is taken from

const throughput = new Chart($("throughput"), [["first", "sent"], ["second", "retried"], ["third", "failed"]], "/s");
const latency = new Chart($("latency"), [["first", "half below"], ["second", "99 % below"]], "ms");

// --- figures ---

function put(id, text, note) {
  $(id).textContent = text;
  if (note !== undefined) $(`${id}-note`).textContent = note;
}

function putSide(id, side) {
  put(id, side.up ? "up" : "down", `${side.up ? "for" : "since"} ${age(side.seconds)}` + (side.up ? "" : `: ${side.error}`));
  $(id).classList.toggle("bad", !side.up);
}

function drawFigures(s) {
  $("relay").textContent = `${s.relay}, ${s.version}`;
  document.title = `${s.ready ? "" : "✗ "}${s.relay} · outbox-relay`;
  if (s.table) {
    put("due", estimate(s.table.due), s.table.oldest_due_seconds > 0 ? `the oldest for ${age(s.table.oldest_due_seconds)}` : "");
    put("scheduled", estimate(s.table.scheduled));
    put("failed", estimate(s.table.failed), s.table.failed.rows ? "until requeued" : "");
    put("sent", estimate(s.table.sent), `${bytes(s.table.bytes)} on disk`);
    $("failed").classList.toggle("bad", s.table.failed.rows > 0);
  }
  put("flight", count(s.messages_in_flight), `${plural(s.rows_in_hand, "row")} in hand`);
  putSide("database", s.database);
  putSide("broker", s.broker);
  if (s.blocked) {
    put("broker", "blocked", s.blocked);
    $("broker").classList.add("bad");
  }
}

function drawState(text, kind, reasons) {
  $("state").textContent = text;
  $("state").className = `pill ${kind}`;
  const words = reasons.join("; ");
  $("reasons").hidden = !words;
  // Said again only when it changed: it is an alert.
  if ($("reasons").textContent !== words) $("reasons").textContent = words;
}

function drawParked(list) {
  const columns = [
    ["Exchange", "text", (p) => p.exchange || "(default)"],
    ["Routing key", "text", (p) => p.routing_key ?? "(any)"],
    ["For", "number", (p) => age(p.seconds)],
    ["Probes", "number", (p) => count(p.probes)],
    ["Reply", "text error", (p) => p.error],
  ];
  $("parked").className = "scroll wide";
  $("parked").replaceChildren(list.length
    ? table("they refuse row after row; their rows wait, uncharged, and single ones probe them", columns, list)
    : el("p", { class: "quiet" }, "none: every destination takes what it is sent"));
}

// --- charts ---

let samples = [];

// Below which value so many of the counted ones are; linear within a range of the histogram.
function quantile(bounds, counts, part) {
  const total = counts.reduce((sum, n) => sum + n, 0);
  let left = total * part;
  if (total === 0) return null;
  for (let i = 0; i < bounds.length; i++) {
    const low = i ? bounds[i - 1] : 0;
    if (left <= counts[i]) return low + (bounds[i] - low) * left / counts[i];
    left -= counts[i];
  }
  return bounds.at(-1);
}

function drawCharts(s) {
  const before = samples.at(-1);
  if (before && s.counts.published < before.counts.published) { // it was started anew
    samples = [];
    throughput.clear();
    latency.clear();
  } else if (before) {
    const seconds = (s.clock_ms - before.clock_ms) / 1000, first = samples[0];
    const rate = (name) => seconds > 0 ? (s.counts[name] - before.counts[name]) / seconds : null;
    const news = s.delivery_ms.counts.map((n, i) => n - first.delivery_ms.counts[i]);
    throughput.add(s.clock_ms, [rate("sent"), rate("retried"), rate("failed")]);
    latency.add(s.clock_ms, [0.5, 0.99].map((part) => quantile(s.delivery_ms.bounds, news, part)));
  }
  samples.push(s);
  if (samples.length > WINDOW) samples.shift();
}

// --- relays and claims ---

async function drawTable() {
  const t = await get("relays");
  const relays = [
    ["Relay", "number", (r) => String(r.relay_id)],
    ["Name", "text", (r) => r.name],
    ["Connected", "", (r) => r.connected ? (r.connected_seconds === null ? "yes" : `for ${age(r.connected_seconds)}`) : "no"],
    ["Claims", "number", (r) => count(r.claims)],
    ["Rows in hand", "number", (r) => count(r.rows_in_hand)],
  ];
  const claims = [
    ["Claim", "number", (c) => String(c.claim_id)],
    ["Relay", "text", (c) => `${c.relay_id} ${c.relay_name}`],
    ["Rows", "number", (c) => count(c.rows)],
    ["Lease", "", (c) => c.lease_seconds >= 0 ? `${age(c.lease_seconds)} left` : `ran out ${age(-c.lease_seconds)} ago`],
    ["", "", (c) => [c.dead && "its relay is dead", c.adopted && "adopted",
                     c.publishing_id && `publishing row ${c.publishing_id}`].filter(Boolean).join(", ")],
  ];
  $("relays").classList.add("wide");
  $("claims").classList.add("wide");
  $("relays").replaceChildren(t.relays.length ? table("at this table", relays, t.relays)
    : el("p", { class: "quiet" }, "no relay is seen at the database; behind a pooler none can be"));
  $("claims").replaceChildren(...(t.claims.length ? [table("claims", claims, t.claims)] : []));
}

// --- the token ---

function askToken(problem) {
  $("token-problem").textContent = problem;
  $("token").value = "";
  if (!$("token-dialog").open) $("token-dialog").showModal();
}

$("token-button").addEventListener("click", () => askToken(""));
$("token-forget").addEventListener("click", () => { token.forget(); location.reload(); });
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token.set($("token").value);
  $("token-dialog").close();
  isRefused = false;
  tableAt = 0;
});

for (const button of document.querySelectorAll("dialog .close"))
  button.addEventListener("click", () => button.closest("dialog").close());

// --- the loop ---

let isRefused = false; // wait for a token instead of asking on
let tableAt = 0;

function wantsToken() {
  const given = token.get();
  token.forget();
  isRefused = true;
  setOpen("Rows are shown to those who have the token.");
  askToken(given ? "This token was refused." : "");
}

async function look() {
  const s = await get("status");
  drawState(s.ready ? "ready" : "not ready", s.ready ? "good" : "bad", s.reasons);
  drawFigures(s);
  drawParked(s.parked);
  drawCharts(s);
  $("token-button").hidden = !s.shows_rows;
  setOpen(s.shows_rows ? "" : "Rows are shown only to those who have a token: set http.token_file to have one.");
  if (Date.now() - tableAt < TABLE_MS) return;
  tableAt = Date.now();
  refresh();
  await drawTable();
}

async function turn() {
  try {
    if (!document.hidden && !isRefused) await look();
  } catch (problem) {
    if (!(problem instanceof Refusal)) throw problem;
    if (problem.status === 401) wantsToken();
    else drawState(problem.status ? "trouble" : "no answer", "bad", [problem.message]);
  } finally {
    setTimeout(turn, STATUS_MS);
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) samples = []; });
turn();
