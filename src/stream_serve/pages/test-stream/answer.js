// The answer as it arrives: rendered, or as it came. Text is appended to what is there, and what is there is not touched again.

/** @import { Run } from "./run.js" */
/** @import { Open, Rendered } from "./rendered.js" */

import { byId, EndKeeper, put } from "./element.js";
import { GrowingText } from "./growing.js";
import { load } from "./rendered.js";
import { language, text } from "./text.js";

const STORED_AS = "stream-serve.source";

/** Shows a run's text so far; call `show` once a frame, not once an event. */
export class AnswerView {
  #box = byId("answer");
  #end = new EndKeeper(this.#box, byId("answer-content"));
  #plain = byId("answer-text");
  #answer = new GrowingText(this.#plain);
  #thinking = new GrowingText(byId("thinking-text"));
  #shown = { thinking: 0, answer: 0, rendered: 0 }; // characters of the run that are on the page
  #details = byId("thinking", HTMLDetailsElement);
  #note = byId("answer-note");
  #mark = byId("stopped-mark");
  #model = byId("answer-model");
  #into = byId("answer-rendered");
  #switch = byId("show-source", HTMLButtonElement);
  /** @type {Run | null} */
  #run = null;
  /** @type {Open | null | undefined} how text is rendered; null where that cannot be had, undefined while nobody has asked */
  #open = undefined;
  #asked = false;
  /** @type {Rendered | null} */
  #rendered = null;
  #source = wanted();

  constructor() {
    this.#switch.addEventListener("click", () => {
      this.#source = !this.#source;
      remember(this.#source);
      this.#render();
    });
  }

  reset() {
    this.#shown = { thinking: 0, answer: 0, rendered: 0 };
    this.#answer.clear();
    this.#thinking.clear();
    this.#clear();
    this.#details.hidden = true;
    this.#details.open = true;
    this.#end.reset();
  }

  /** The language changed. */
  words() {
    this.#clear();
    this.show(this.#run);
  }

  /** @param {Run | null} run null before the first one */
  show(run) {
    this.#run = run;
    this.#noteFor(run);
    this.#render();
    if (run === null) return;
    const grown = run.thinking.length + run.answer.length > this.#shown.thinking + this.#shown.answer;
    this.#thinking.append(run.thinking.slice(this.#shown.thinking));
    this.#answer.append(run.answer.slice(this.#shown.answer));
    this.#shown.thinking = run.thinking.length;
    this.#shown.answer = run.answer.length;
    this.#details.hidden = run.thinking === "";
    this.#box.dataset.state = run.over ? "over" : run.state === "lost" ? "lost" : run.answer === "" ? "thinking" : "writing";
    put(this.#model, run.model ?? "");
    this.#model.hidden = run.model === null;
    const marked = run.stoppedByUser && run.over;
    const fresh = marked && this.#mark.hidden;
    put(this.#mark, text(run.delivering ? "unconfirmedMark" : "stoppedMark"));
    this.#mark.hidden = !marked;
    if (grown || fresh) this.#end.keep();
  }

  /** Bring the rendered text up to date, and show it or the source. What renders is asked for with the first answer. */
  #render() {
    const run = this.#run;
    if (!this.#source && run?.answer) void this.#ask();
    const rendered = !this.#source && Boolean(run?.answer) && this.#draw(run);
    this.#into.hidden = !rendered;
    this.#plain.hidden = rendered;
    this.#switch.setAttribute("aria-pressed", String(this.#source || this.#open === null));
    this.#switch.disabled = this.#open === null;
    byId("unrendered").hidden = this.#open !== null;
  }

  /** @param {Run | null} run */
  #draw(run) {
    if (!run || !this.#open) return false;
    this.#rendered ??= this.#open(this.#into, language(), () => this.#end.keep());
    this.#rendered.append(run.answer.slice(this.#shown.rendered));
    this.#shown.rendered = run.answer.length;
    if (run.over) this.#rendered.end({ cut: run.state !== "finished" });
    return true;
  }

  async #ask() {
    if (this.#asked) return;
    this.#asked = true;
    this.#open = await load();
    this.#render();
    this.#end.keep();
  }

  #clear() {
    this.#rendered = null;
    this.#shown.rendered = 0;
    const empty = this.#into.cloneNode(false);
    if (!(empty instanceof HTMLElement)) return;
    this.#into.replaceWith(empty);
    this.#into = empty;
  }

  /** @param {Run | null} run */
  #noteFor(run) {
    let words = "";
    if (run === null) words = text("answerEmpty");
    else if (!run.over && run.answer === "" && run.thinking === "") words = text("answerWaiting");
    else if (run.over && run.answer === "" && run.thinking === "") words = text("answerNothing");
    put(this.#note, words);
    this.#note.hidden = words === "";
    this.#note.classList.toggle("waiting", run !== null && !run.over);
  }
}

/** Whether the reader wants to see the source. */
function wanted() {
  try {
    return localStorage.getItem(STORED_AS) !== null;
  } catch {
    return false;
  }
}

/** @param {boolean} source */
function remember(source) {
  try {
    if (source) localStorage.setItem(STORED_AS, "1");
    else localStorage.removeItem(STORED_AS);
  } catch {
    // Storage is switched off: the choice then lasts as long as the page.
  }
}
