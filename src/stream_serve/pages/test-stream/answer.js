// The answer as it arrives: text is appended to what is there, and what is there is not touched again.

/** @import { Run } from "./run.js" */

import { byId, EndKeeper, put } from "./element.js";
import { GrowingText } from "./growing.js";
import { text } from "./text.js";

/** Shows a run's text so far; call `show` once a frame, not once an event. */
export class AnswerView {
  #box = byId("answer");
  #end = new EndKeeper(this.#box);
  #answer = new GrowingText(byId("answer-text"));
  #thinking = new GrowingText(byId("thinking-text"));
  #shown = { thinking: 0, answer: 0 }; // characters of the run that are on the page
  #details = byId("thinking", HTMLDetailsElement);
  #note = byId("answer-note");
  #mark = byId("stopped-mark");
  #model = byId("answer-model");

  reset() {
    this.#shown = { thinking: 0, answer: 0 };
    this.#answer.clear();
    this.#thinking.clear();
    this.#details.hidden = true;
    this.#details.open = true;
    this.#end.reset();
  }

  /** @param {Run | null} run null before the first one */
  show(run) {
    this.#noteFor(run);
    if (run === null) return;
    const grown = run.thinking.length + run.answer.length > this.#shown.thinking + this.#shown.answer;
    this.#thinking.append(run.thinking.slice(this.#shown.thinking));
    this.#answer.append(run.answer.slice(this.#shown.answer));
    this.#shown = { thinking: run.thinking.length, answer: run.answer.length };
    this.#details.hidden = run.thinking === "";
    this.#box.dataset.state = run.over ? "over" : run.state === "lost" ? "lost" : run.answer === "" ? "thinking" : "writing";
    put(this.#model, run.model ?? "");
    this.#model.hidden = run.model === null;
    const marked = run.stoppedByUser && run.over;
    const fresh = marked && this.#mark.hidden;
    put(this.#mark, text("stoppedMark"));
    this.#mark.hidden = !marked;
    if (grown || fresh) this.#end.keep();
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
