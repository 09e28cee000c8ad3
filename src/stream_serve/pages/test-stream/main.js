// Wires the page together: one run at a time, drawn once a frame.

/** @import { StreamRecord } from "./run.js" */
/** @import { Bytes } from "./sse.js" */
/** @import { Language } from "./text.js" */

import { AnswerView } from "./answer.js";
import { copyButton } from "./copy.js";
import { byId, put } from "./element.js";
import { Form } from "./form.js";
import { Inspector } from "./inspector.js";
import * as memory from "./memory.js";
import { failureTitle, reasonWords, showOutcome } from "./outcome.js";
import { Reader } from "./reader.js";
import { Run } from "./run.js";
import * as service from "./service.js";
import { preferredLanguage, setLanguage, text } from "./text.js";

const TICK = 200; // milliseconds between two looks at the clock while nothing arrives
const LANGUAGE_BUTTONS = /** @type {const} */ ([["zh", "language-zh"], ["en", "language-en"]]);

/** @type {Run | null} */
let run = null;
/** @type {Reader | null} */
let reader = null;
let forgotten = false; // the run that was to be shown again is not there any more
/** @type {Wire.Info | null} */
let about = null; // what the service says of itself
/** @type {Error | null} */
let aboutFailure = null;
let frame = 0;

const answer = new AnswerView();
const inspector = new Inspector();
const copyAnswer = byId("copy-answer", HTMLButtonElement);
const followLink = byId("follow-link", HTMLAnchorElement);
const chatLink = byId("chat-link", HTMLAnchorElement);
const columns = byId("columns");
const form = new Form({ send, stop, edited: command, keyed });

function send() {
  if ((run !== null && !run.over) || !form.check()) return;
  const { fields } = form;
  const own = new Run("", false, performance.now());
  receive(own, (reader) => reader.start(service.questionOf(fields)));
  memory.remember({ id: own.id, fields });
  memory.unname();
}

/**
 * Show a run from its first event on: this tab's before its reload, or one of another tab.
 * @param {string} id
 */
function take(id) {
  receive(new Run(id, true, performance.now()), (reader) => reader.follow());
}

/**
 * Make a run the one that is shown, and follow it to its end.
 * @param {Run} own
 * @param {(reader: Reader) => void} begin
 */
function receive(own, begin) {
  reader?.close();
  run = own;
  const tick = setInterval(draw, TICK);
  reader = new Reader(own, () => form.key, {
    changed: () => own === run && changed(),
    seen: (bytes, records) => own === run && seen(bytes, records),
    done: () => {
      clearInterval(tick);
      if (own === run) settle(own);
    },
  });
  forgotten = false;
  answer.reset();
  inspector.reset();
  begin(reader);
  changed();
  columns.dataset.shown = "";
  byId("answer-card").scrollIntoView({ block: "nearest" });
}

/**
 * What is left to do when a run is over: forget one that is not there, ask for a key that is missing.
 * @param {Run} own
 */
function settle(own) {
  changed();
  const status = refusal(own);
  if (status === 401) form.wantKey(true);
  else if (own.abandoned || status === 404 || own.failure?.kind === "problem") {
    memory.forget();
    memory.unname();
  }
  if (own.resumed && status === 404 && own.meter.events === 0) miss();
}

/** The run that was to be shown is not there: say so, and be ready for a new one. */
function miss() {
  memory.forget();
  memory.unname();
  run = reader = null;
  forgotten = true;
  inspector.reset();
  changed();
}

/**
 * The HTTP status with which the service refused a run, or refused to go on with it; else null.
 * @param {Run} own
 */
function refusal(own) {
  const failure = own.failure?.kind === "cut" ? own.failure.cause : own.failure;
  return failure?.kind === "problem" ? failure.problem.status : null;
}

/** A key was entered: ask what needs one, and take up the run that could not be read without it. */
function keyed() {
  void offer();
  if (run?.known && refusal(run) === 401) take(run.id);
}

/**
 * @param {Bytes} bytes
 * @param {StreamRecord[]} records
 */
function seen(bytes, records) {
  inspector.add(bytes, records);
  if (records.some(({ type }) => type === "start" || type === "end" || type === "error")) changed();
  else draw();
}

function stop() {
  if (run === null || reader === null || run.over || run.stopping) return;
  run.stopping = true;
  changed();
  void reader.stop();
}

/** Something other than text changed: everything is brought up to date, at once. */
function changed() {
  const over = run?.over ?? false;
  form.buttons(run !== null && !over, run?.stopping ?? false);
  copyAnswer.disabled = !run?.answer;
  byId("lost").hidden = run?.state !== "lost";
  byId("elsewhere").hidden = !run?.known;
  chatLink.href = run?.conversationId ? `./c/${encodeURIComponent(run.conversationId)}` : "./";
  if (run?.known) followLink.href = memory.address(run.id);
  showOutcome(run);
  command();
  paint(true);
}

/** More arrived: drawn with the next frame, however much it is. */
function draw() {
  if (frame !== 0) return;
  const next = () => {
    frame = 0;
    paint(false);
  };
  // A page in the background gets no frames.
  frame = document.hidden ? setTimeout(next, TICK) : requestAnimationFrame(next);
}

/** @param {boolean} atOnce leave nothing for a later frame */
function paint(atOnce) {
  status();
  answer.show(run);
  if (!inspector.show(run, performance.now(), atOnce)) draw();
  if (run?.answer) copyAnswer.disabled = false;
}

function command() {
  inspector.command(run?.request ?? service.preview(service.questionOf(form.fields), form.wantsKey ? "$" : ""), run);
}

function status() {
  byId("status-line").dataset.state = run?.delivering ? "unconfirmed" : (run?.state ?? "ready");
  put(byId("status"), statusWords());
}

function statusWords() {
  if (run === null) return text(forgotten ? "statusForgotten" : "statusReady");
  if (run.delivering) return text("statusUnconfirmed");
  if (run.stopping) return text("statusStopping");
  if (run.state === "lost") return text("statusLost");
  if (run.state === "connecting" && run.resumed) return text("statusResuming");
  if (!run.over) return text("statusStarted");
  if (run.state === "finished") return text("statusFinished", { reason: reasonWords(run.finishReason) ?? "—" });
  if (run.state === "stopped") return text("statusStopped");
  if (run.state === "cut") return text("statusCut");
  return text("statusFailed", { reason: run.failure === null ? "—" : failureTitle(run.failure) });
}

/**
 * @param {Language} name
 * @param {boolean} remember
 */
function speak(name, remember) {
  setLanguage(name, remember);
  for (const [language, id] of LANGUAGE_BUTTONS) {
    byId(id).setAttribute("aria-pressed", String(language === name));
  }
  form.words();
  answer.words();
  inspector.words(run);
  showAbout();
  changed();
}

function showAbout() {
  byId("demo").hidden = about?.demo !== true;
  byId("unbuilt").hidden = location.hash !== "#unbuilt";
  put(byId("version"), about?.version ? ` · ${about.version}` : "");
  byId("info-failure").hidden = aboutFailure === null;
  if (aboutFailure !== null) put(byId("info-failure"), text("infoFailed", { reason: aboutFailure.message }));
}

async function meet() {
  try {
    about = await service.info();
    form.defaultModel(about.model ?? "");
    if (about.authRequired) form.wantKey(false);
    void offer();
  } catch (error) {
    aboutFailure = service.errorOf(error);
  }
  showAbout();
  command();
}

/** Offer the models of the service; without its list the field takes any name. */
async function offer() {
  if (form.wantsKey && form.key === "") return;
  try {
    form.offer((await service.models(form.key)).models);
  } catch {
    form.offer([]);
  }
}

/** Show the run that the address names, else the one that this tab had before it was reloaded. */
function resume() {
  const last = memory.recall()?.id;
  const id = memory.named() ?? last;
  if (id === "") miss();
  else if (id !== undefined) {
    if (id !== last) memory.remember({ id, fields: null });
    take(id);
  }
}

/** The form as it was before the reload. */
function refill() {
  const last = memory.recall();
  if (last?.fields && (memory.named() ?? last.id) === last.id) form.fill(last.fields);
}

byId("language-zh").addEventListener("click", () => speak("zh", true));
byId("language-en").addEventListener("click", () => speak("en", true));
copyButton(copyAnswer, () => run?.answer ?? "");
refill();
speak(preferredLanguage(), false);
window.addEventListener("hashchange", () => {
  if (memory.named() && memory.named() !== run?.id) resume();
});
void meet().then(() => {
  if (run === null) resume(); // unless a message was sent in the meantime
});
