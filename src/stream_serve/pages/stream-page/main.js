// The page of one stream: read live by the client, shown as it comes, and stopped.

import { Client } from "../client.js";
import { byId, facts, put, within } from "../test-stream/element.js";
import { Bars } from "./bars.js";
import { Log } from "./log.js";
import { moment, number, preferred, speak, text } from "./words.js";

/** @import { JobEvent, Run, StreamReceipt } from "../client.js" */

/** @typedef {"connecting" | "catching" | "live" | "lost" | "over" | "needsKey" | "refused"} State */

const KEY_STORED_AS = "stream-serve.key"; // as the test page has it
const LANGUAGES = /** @type {const} */ ([["zh", "language-zh"], ["en", "language-en"]]);
const ASKS = 24; // times five seconds that a producer has to acknowledge a stop, while the page is open
const REASONS = /** @type {const} */ ({ completed: "completed", failed: "failedEnd", stopped: "stopped", lost: "lostEnd" });

const base = new URL("..", import.meta.url);
const path = location.pathname.slice(`${base.pathname}streams/`.length);
const name = decoded(path);

const log = new Log();
const bars = new Bars();
const stop = byId("stop", HTMLButtonElement);
const key = byId("key", HTMLInputElement);

/** @type {Run<JobEvent, StreamReceipt> | null} */
let run = null;
/** @type {State} */
let state = "connecting";
/** @type {Record<string, unknown> | null} */
let end = null; // the last message
/** @type {string | null} */
let reason = null;
/** @type {StreamReceipt | null} */
let receipt = null;
let asking = false;
/** @type {any} */
let failure = null;
/** @type {any} */
let stopFailure = null;
let goal = 0; // the offset up to which the stream is catching up

function open() {
  run?.leave();
  state = "connecting";
  end = reason = receipt = failure = stopFailure = null;
  asking = false;
  goal = 0;
  log.clear();
  bars.clear();
  /** @type {Run<JobEvent, StreamReceipt>} */
  const own = new Client({ baseUrl: base.href, key: key.value.trim() }).tail(name, {
    onEvent: (message) => own === run && take(message),
    onState: (next) => own === run && become(next),
    onEnd: (result) => own === run && finish(result),
    onError: (error) => own === run && fail(error),
  });
  run = own;
  show();
}

/** @param {any} message */
function take(message) {
  const type = message?.type;
  if (type === "progress") bars.show(message);
  else if (type !== "end" || typeof message.finishReason !== "string") log.add(message);
  if (state === "catching" && run !== null && run.cursor >= goal) move("live");
}

/** @param {string} next */
function become(next) {
  if (next === "streaming") void look();
  else if (next === "lost") move("lost");
}

/** Find out how far the stream is: up to there, the page is catching up. */
async function look() {
  const own = run;
  goal = 0;
  try {
    const headers = key.value.trim() ? { Authorization: `Bearer ${key.value.trim()}` } : undefined;
    const found = await fetch(new URL(`v1/stream/${path}`, base), { method: "HEAD", cache: "no-store", headers });
    goal = Number(found.headers.get("Stream-Next-Offset")) || 0;
  } catch {
    // The events say it all; they only do not say how many are to come.
  }
  if (own === run && run !== null && !run.over) move(run.cursor < goal ? "catching" : "live");
}

/** @param {{finishReason: string | null, end: unknown}} result */
function finish(result) {
  reason = result.finishReason;
  end = result.end === null ? null : Object(result.end);
  log.finish();
  move("over");
}

/** @param {any} error */
function fail(error) {
  failure = error;
  log.finish();
  if (error.status === 401) {
    byId("key-form").hidden = false;
    key.focus();
    move("needsKey");
  } else move("refused");
}

/** @param {State} next */
function move(next) {
  state = next;
  show();
}

/** Ask the producer to stop, until it has heard or the stream is over. */
async function ask() {
  const own = run;
  if (own === null || asking || own.over) return;
  asking = true;
  stopFailure = null;
  show();
  try {
    for (let left = ASKS; left > 0 && own === run && !receipt?.acknowledged; left--) {
      const found = await own.stop();
      if (own !== run) return;
      receipt = found;
      show();
      if (own.over) break;
    }
  } catch (error) {
    stopFailure = error;
  }
  if (own !== run) return;
  asking = false;
  show();
}

function show() {
  byId("status-line").dataset.state = state;
  byId("status-line").dataset.reason = reason ?? "";
  put(byId("status"), statusWords());
  const focused = document.activeElement === stop;
  const over = state === "over" || state === "refused" || state === "needsKey";
  stop.disabled = over || state === "connecting";
  stop.setAttribute("aria-disabled", String(asking || stop.disabled));
  if (focused && stop.disabled) byId("log").focus({ preventScroll: true });
  byId("failure").hidden = failure === null && stopFailure === null;
  put(byId("failure-words"), failureWords());
  byId("again").hidden = failure === null || state === "needsKey";
  byId("outcome").hidden = state !== "over";
  facts(within(byId("outcome"), "dl", HTMLDListElement), outcome());
  byId("receipt").hidden = receipt === null;
  if (receipt !== null) facts(within(byId("receipt"), "dl", HTMLDListElement), receiptFacts(receipt));
}

function statusWords() {
  if (state === "over") return text("over", { reason: reasonWords() });
  if (asking && receipt === null && state !== "lost") return text("asking");
  if (state === "lost" && !navigator.onLine) return text("offline");
  return text(state);
}

function reasonWords() {
  const found = reason !== null && Object.hasOwn(REASONS, reason) ? REASONS[/** @type {keyof typeof REASONS} */ (reason)] : null;
  return found === null ? reason ?? "—" : text(found);
}

function failureWords() {
  if (failure === null) return stopFailure === null ? "" : text("stopFailed", { reason: stopFailure.message });
  if (failure.status === 401) return key.value.trim() ? text("wrongKey") : text("needsKey");
  if (failure.code === "stream_not_found") return failure.status === 404 ? text("noStream", { name }) : text("removed");
  return text("failed", { reason: failure.message });
}

/** @returns {[string, string | null][]} */
function outcome() {
  const { exitCode, error, at } = end ?? {};
  return [
    [text("reason"), reasonWords()],
    [text("exitCode"), exitCode === undefined || exitCode === null ? null : String(exitCode)],
    [text("error"), error ? (typeof error === "string" ? error : JSON.stringify(error)).slice(0, 5000) : null],
    [text("at"), moment(at)],
  ];
}

/**
 * @param {StreamReceipt} of
 * @returns {[string, string | null][]}
 */
function receiptFacts({ asked, acknowledged, appended }) {
  return [
    [text("asked"), moment(asked)],
    [text("acknowledged"), acknowledged === null ? text("notYet") : moment(acknowledged)],
    [text("appended"), appended === null ? null : text("notLine", { offset: number(Number(appended)) })],
  ];
}

/** @param {"zh" | "en"} language */
function choose(language, remember = false) {
  speak(language, remember);
  for (const [one, id] of LANGUAGES) byId(id).setAttribute("aria-pressed", String(one === language));
  log.words();
  show();
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function meet() {
  try {
    const { authRequired } = await (await fetch(new URL("ai/info", base))).json();
    byId("key-form").hidden = !authRequired;
    if (authRequired && key.value === "") {
      key.focus();
      return move("needsKey");
    }
  } catch {
    // The stream itself says what is wrong.
  }
  open();
}

put(byId("name"), name);
document.title = `${name} · stream-serve`;
for (const [language, id] of LANGUAGES) byId(id).addEventListener("click", () => choose(language, true));
stop.addEventListener("click", () => void ask());
byId("again").addEventListener("click", open);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    sessionStorage.setItem(KEY_STORED_AS, key.value);
  } catch {
    // Storage is switched off: the key then lives in its field alone.
  }
  open();
});
for (const event of ["online", "offline"]) addEventListener(event, show);
try {
  key.value = sessionStorage.getItem(KEY_STORED_AS) ?? "";
} catch {
  // As above.
}
choose(preferred());
void meet();
