// Wires the page together: one run at a time, drawn once a frame.

import { AnswerView } from "./answer.js";
import * as client from "./client.js";
import { copyButton } from "./copy.js";
import { byId, put } from "./element.js";
import { follow } from "./follow.js";
import { Form } from "./form.js";
import { Inspector } from "./inspector.js";
import { failureOf, failureTitle, reasonWords, showOutcome } from "./outcome.js";
import { Run } from "./run.js";
import { preferredLanguage, setLanguage, text } from "./text.js";

const END_PATIENCE = 2000; // milliseconds that a stopped or finished stream has to close by itself
const TICK = 200; // milliseconds between two looks at the clock while nothing arrives

let run = null;
let connection = null; // the AbortController of the run's request
let about = null; // what the service says of itself
let aboutFailure = null;
let frame = 0;

const answer = new AnswerView();
const inspector = new Inspector();
const form = new Form({ send, stop, edited: command });

function send() {
  if ((run !== null && !run.over) || !form.check()) return;
  connection?.abort();
  const request = client.chatRequest(form.fields, form.key);
  const own = (run = new Run(request, performance.now()));
  connection = new AbortController();
  answer.reset();
  inspector.reset();
  changed();
  void receive(own, connection, (signal) => client.open(request, signal));
}

/**
 * Follow a run from an open request to its end.
 * @param {Run} own
 * @param {AbortController} line
 * @param {(signal: AbortSignal) => Promise<Response>} open gives the response with the stream of events
 */
async function receive(own, line, open) {
  const tick = setInterval(draw, TICK);
  try {
    const response = await open(line.signal);
    own.opened(response.headers.get("X-Run-Id"));
    if (own === run) changed();
    await follow(response.body, own, (bytes, records) => seen(own, line, bytes, records));
  } catch (error) {
    own.failed(failureOf(error), performance.now());
    if (error instanceof client.Problem && error.status === 401 && own === run) form.wantKey(true);
  } finally {
    clearInterval(tick);
    if (own === run) changed();
  }
}

function seen(own, line, bytes, records) {
  if (own !== run) return;
  inspector.add(bytes, records);
  if (records.some(({ type }) => type === "start" || type === "end" || type === "error")) changed();
  else draw();
  if (own.over) setTimeout(() => line.abort(), END_PATIENCE);
}

async function stop() {
  if (run === null || run.over || run.stopping) return;
  const own = run;
  const line = connection;
  if (own.id === null) {
    own.abandon(performance.now());
    line.abort();
    changed();
    return;
  }
  own.stopping = true;
  changed();
  try {
    own.stopped(await client.stop(own.id, form.key));
    if (own.receipt.outcome === "stopped") setTimeout(() => line.abort(), END_PATIENCE);
  } catch (error) {
    if (!own.over) {
      own.stopFailure = error;
      line.abort();
    }
  }
  if (own === run) changed();
}

/** Something other than text changed: everything is brought up to date, at once. */
function changed() {
  const over = run?.over ?? false;
  form.buttons(run !== null && !over, run?.stopping ?? false);
  byId("copy-answer").disabled = !run?.answer;
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

function paint(atOnce) {
  status();
  answer.show(run);
  if (!inspector.show(run, performance.now(), atOnce)) draw();
  if (run?.answer) byId("copy-answer").disabled = false;
}

function command() {
  inspector.command(run?.request ?? client.chatRequest(form.fields, form.wantsKey ? "$" : ""), run);
}

function status() {
  byId("status-line").dataset.state = run?.state ?? "ready";
  put(byId("status"), statusWords());
}

function statusWords() {
  if (run === null) return text("statusReady");
  if (!run.over) return text("statusStarted");
  if (run.state === "finished") return text("statusFinished", { reason: reasonWords(run.finishReason) ?? "—" });
  if (run.state === "stopped") return text("statusStopped");
  if (run.state === "cut") return text("statusCut");
  return text("statusFailed", { reason: failureTitle(run.failure) });
}

function speak(name, remember) {
  setLanguage(name, remember);
  for (const [language, id] of [["zh", "language-zh"], ["en", "language-en"]]) {
    byId(id).setAttribute("aria-pressed", String(language === name));
  }
  form.words();
  inspector.words(run);
  showAbout();
  changed();
}

function showAbout() {
  byId("demo").hidden = about?.demo !== true;
  put(byId("version"), about?.version ? ` · ${about.version}` : "");
  byId("info-failure").hidden = aboutFailure === null;
  if (aboutFailure !== null) put(byId("info-failure"), text("infoFailed", { reason: aboutFailure.message }));
}

async function meet() {
  try {
    about = await client.info();
    form.defaultModel(about.model ?? "");
    if (about.authRequired) form.wantKey(false);
  } catch (error) {
    aboutFailure = error;
  }
  showAbout();
  command();
}

byId("language-zh").addEventListener("click", () => speak("zh", true));
byId("language-en").addEventListener("click", () => speak("en", true));
copyButton(byId("copy-answer"), () => run?.answer ?? "");
speak(preferredLanguage(), false);
void meet();
