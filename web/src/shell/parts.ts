/** What the frame shows and moves, and what it asks of the pane. */

import type { Choices } from "../data/choices.js";
import type { Conversation, Data } from "../data/index.js";
import type { Signal } from "../signal.js";
import type { Place } from "./place.js";

export interface Parts {
  readonly data: Data;
  readonly choices: Choices;
  readonly place: Place;
  /** The one that is open: of the address, or the one that begins with the next question. */
  readonly conversation: Signal<Conversation>;
}

/** What the pane does for the frame, which hears the keys of the whole page. */
export interface Pane {
  /** Put the focus into the box for the next question. */
  focus(): void;
  /** Give up editing a question; return whether one was edited. */
  cancelEdit(): boolean;
  /** Stop the answer that is on its way; return whether there was one. */
  stop(): boolean;
}
