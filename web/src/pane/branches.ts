/** The switch between versions of a message: `2/3`, with the way to the ones before and after. */

import type { Place } from "../data/index.js";
import { make } from "../shell/dom.js";
import { say } from "../words/index.js";
import { Buttons, text } from "./view.js";

export class Branches {
  readonly element = make("span", { class: "versions", role: "group" });
  #buttons = new Buttons();
  #turnTo: (by: -1 | 1) => void;
  #words = make("span", { class: "version" });
  #place: Place = { at: 1, of: 1 };

  constructor(turnTo: (by: -1 | 1) => void) {
    this.#turnTo = turnTo;
  }

  /** Return it for these versions, or nothing where there is only one. */
  draw(place: Place): HTMLElement[] {
    const { at, of } = (this.#place = place);
    if (of < 2) return [];
    const before = this.#buttons.round("previous", "turns.branchBefore", () => this.#go(-1));
    const after = this.#buttons.round("next", "turns.branchAfter", () => this.#go(1));
    // One that is disabled would lose the focus.
    before.setAttribute("aria-disabled", String(at <= 1));
    after.setAttribute("aria-disabled", String(at >= of));
    text(this.#words, say("turns.branch", { number: at, count: of }));
    this.element.setAttribute("aria-label", say("turns.branchesOf"));
    if (!before.isConnected) this.element.append(before, this.#words, after);
    return [this.element];
  }

  /** Put the focus where it was in another version. */
  focus(by: -1 | 1): void {
    const buttons = this.element.querySelectorAll("button");
    buttons[by < 0 ? 0 : 1]?.focus({ preventScroll: true });
  }

  #go(by: -1 | 1): void {
    const to = this.#place.at + by;
    if (to >= 1 && to <= this.#place.of) this.#turnTo(by);
  }
}
