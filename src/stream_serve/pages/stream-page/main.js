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
const name = decoded(location.pathname.slice(`${base.pathname}streams/`.length));

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
let keyed = false; // whether the service wants a key
let seen = false; // whether the stream was there
let goal = 0; // the offset up to which the stream is catching up

function open() {
  run?.leave();
  state = "connecting";
  end = reason = receipt = failure = stopFailure = null;
  asking = seen = false;
  goal = 0;
  log.clear();
  bars.clear();
  run = null;
  try {
    /** @type {Run<JobEvent, StreamReceipt>} */
    const own = new Client({ baseUrl: base.href, key: key.value.trim(), fetch: ask }).tail(name, {
      onEvent: (message) => own === run && take(message),
      onState: (next) => own === run && become(next),
      onEnd: (result) => own === run && finish(result),
      onError: (error) => own === run && fail(error),
    });
    run = own;
  } catch {
    // No header can have such a key.
    return fail({ status: 401 });
  }
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
  if (next === "streaming") {
    opened();
    move(run !== null && run.cursor < goal ? "catching" : "live");
  } else if (next === "lost") move("lost");
}

/**
 * Ask for the client, and see how far the stream is: up to there, the page is catching up.
 * @param {RequestInfo | URL} url
 * @param {RequestInit} [init]
 */
async function ask(url, init) {
  const response = await fetch(url, init);
  goal = Number(response.headers.get("Stream-Next-Offset") ?? goal);
  return response;
}

/** The stream is there, and the key is good. */
function opened() {
  seen = true;
  const form = byId("key-form");
  if (form.contains(document.activeElement)) byId("log").focus({ preventScroll: true });
  form.hidden = true;
}

/** @param {{finishReason: string | null, end: unknown}} result */
function finish(result) {
  opened();
  reason = result.finishReason;
  end = result.end === null ? null : Object(result.end);
  log.finish();
  move("over");
}

/** @param {any} error */
function fail(error) {
  failure = error;
  log.finish();
  keyed ||= error.status === 401;
  byId("key-form").hidden = !keyed;
  if (error.status === 401) key.focus();
  move(error.status === 401 ? "needsKey" : "refused");
}

/** @param {State} next */
function move(next) {
  state = next;
  show();
}

/** Ask the producer to stop, until it has heard or the stream is over. */
async function halt() {
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
  put(byId("failure-words"), failureWords());
  byId("failure").hidden = byId("failure-words").textContent === "";
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
  return found === null ? short(reason, 200) ?? "—" : text(found);
}

function failureWords() {
  if (failure === null && stopFailure !== null) return text("stopFailed", { reason: stopFailure.message });
  if (failure === null) return state === "lost" ? text("failed", { reason: run?.failure?.message ?? "" }) : "";
  if (failure.status === 401) return key.value.trim() ? text("wrongKey") : text("needsKey");
  if (failure.code === "stream_not_found") return seen ? text("removed") : text("noStream", { name });
  return text("failed", { reason: failure.message });
}

/** @returns {[string, string | null][]} */
function outcome() {
  const { exitCode, error, at } = end ?? {};
  return [
    [text("reason"), reasonWords()],
    [text("exitCode"), short(exitCode, 200)],
    [text("error"), short(error || null, 5000)],
    [text("at"), moment(at)],
  ];
}

/**
 * What a producer wrote, as words; null where there is nothing.
 * @param {unknown} value
 * @param {number} most
 */
function short(value, most) {
  if (value === undefined || value === null) return null;
  const words = typeof value === "string" ? value : JSON.stringify(value);
  return words.length > most ? `${words.slice(0, most)}…` : words;
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
    keyed = authRequired === true;
    if (keyed && key.value === "") {
      byId("key-form").hidden = false;
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
stop.addEventListener("click", () => void halt());
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
addEventListener("storage", (event) => {
  if (event.key !== `${KEY_STORED_AS}.forgotten`) return; // on the chat page, for all tabs
  key.value = "";
  sessionStorage.removeItem(KEY_STORED_AS);
});
for (const event of ["online", "offline"]) addEventListener(event, show);
try {
  key.value = sessionStorage.getItem(KEY_STORED_AS) ?? "";
} catch {
  // As above.
}
choose(preferred());
void meet();
