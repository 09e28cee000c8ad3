/** Says answers as they come to people who do not see the screen: as much of them as they have chosen. */

import type { Choices } from "../data/choices.js";
import type { Conversation, MessageNode } from "../data/index.js";
import { effect, untracked } from "../signal.js";
import { label, textOf } from "../turn/index.js";
import { say } from "../words/index.js";
import { countWords, Voice } from "./voice.js";

const LOOK = 500; // milliseconds between two looks at what has come
const SILENCE = 15_000; // after which it is said how the answer stands: silence is no sign of life
const CLEAR = 2000; // after which what was said is taken out, so that nobody meets it twice

export class Speech {
  #region: HTMLElement;
  #choices: Choices;
  #voice: Voice;
  #node: MessageNode | undefined;
  #heard = 0;
  #said = 0; // when something was said last
  #look: ReturnType<typeof setInterval> | undefined;
  #clear: ReturnType<typeof setTimeout> | undefined;
  #undo: () => void;

  constructor(region: HTMLElement, choices: Choices, conversation: Conversation) {
    this.#region = region;
    this.#choices = choices;
    this.#voice = new Voice({
      code: (language, lines) => say("voice.code", { language: language || say("text.code"), lines }),
      table: (rows) => say("voice.table", { rows }),
    });
    this.#undo = effect(() => {
      const node = conversation.live.value;
      untracked(() => (node ? this.#begin(node) : this.#end()));
    });
  }

  close(): void {
    this.#undo();
    clearInterval(this.#look);
    clearTimeout(this.#clear);
  }

  #begin(node: MessageNode): void {
    if (node === this.#node) return;
    this.#end();
    this.#node = node;
    // What was there before is not new.
    this.#heard = textOf(node.turn!.peek()).length;
    this.#tell(say("voice.answering"));
    clearInterval(this.#look);
    this.#look = setInterval(() => this.#listen(), LOOK);
    this.#listen();
  }

  #end(): void {
    const node = this.#node;
    if (!node) return;
    this.#take(node);
    this.#voice.end();
    this.#node = undefined;
    const turn = node.turn!.peek();
    // What failed says so itself.
    if (turn.state === "complete") this.#tell(say("voice.complete", { words: countWords(textOf(turn)) }));
    else if (turn.state === "stopped") this.#tell(standing(node));
  }

  #listen(): void {
    if (this.#node) this.#take(this.#node);
    if (this.#node && !this.#voice.waits && Date.now() - this.#said >= SILENCE) this.#tell(standing(this.#node));
    const words = this.#voice.due(Date.now());
    if (words && this.#choices.get("voice") !== "off") this.#say(words);
    if (!this.#node && !this.#voice.waits) clearInterval(this.#look);
  }

  #take(node: MessageNode): void {
    const text = textOf(node.turn!.peek());
    if (this.#choices.get("voice") === "sentences") this.#voice.add(text.slice(this.#heard));
    this.#heard = Math.max(this.#heard, text.length);
  }

  /** What the page says itself waits its turn, too. */
  #tell(words: string): void {
    if (this.#choices.get("voice") !== "off") this.#voice.say(words);
  }

  #say(words: string): void {
    this.#said = Date.now();
    this.#region.textContent = words;
    clearTimeout(this.#clear);
    this.#clear = setTimeout(() => (this.#region.textContent = ""), CLEAR);
  }
}

/** How an answer stands, in words. */
function standing({ turn }: MessageNode): string {
  const { key, ...values } = label(turn!.peek(), Date.now());
  return say(key, values);
}
