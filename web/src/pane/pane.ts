/** The room for the conversation: its turns, the way to the newest text, and the box for the next question. */

import type { Conversation } from "../data/index.js";
import { make, tell, worded } from "../shell/dom.js";
import type { Pane, Parts } from "../shell/parts.js";
import type { Where } from "../shell/place.js";
import { effect, signal, untracked, type Signal } from "../signal.js";
import { live } from "../turn/index.js";
import { language, say } from "../words/index.js";
import { Composer } from "./composer.js";
import type { Messages } from "./messages.js";
import type { Scroll } from "./scroll.js";
import { Scroller } from "./scroller.js";
import { Speech } from "./speech.js";
import { Buttons } from "./view.js";

/** What shows turns is loaded behind the first paint: the page with its box is there before. */
type Turns = typeof import("./messages.js");

/** Show the conversation that is open in an element; return what the frame asks of it. */
export function openPane(parts: Parts, main: HTMLElement): Pane {
  const room = new Room(parts, main);
  return {
    focus: () => room.composer.focus(),
    cancelEdit: () => room.cancelEdit(),
    stop: () => room.stop(),
  };
}

/** Do something when the page has been painted; one that is not seen is not painted. */
function painted(act: () => void): void {
  if (document.hidden) act();
  else requestAnimationFrame(() => setTimeout(act));
}

class Room {
  readonly composer: Composer;
  #parts: Parts;
  #log = make("div", { class: "log" });
  #box = make("div", { class: "scroller", tabindex: "0", role: "log", "aria-live": "off" });
  #heard = make("div", { class: "offscreen", role: "status", "aria-live": "polite" });
  #newest = make("div", { class: "newest" });
  #empty = worded(make("p", { class: "empty" }), "box.empty");
  #buttons = new Buttons();
  #scroller: Scroller;
  #turns: Signal<Turns | undefined> = signal(undefined);
  #messages: Messages | undefined;
  #cancel: (() => void) | undefined;
  #shown: Where | undefined; // the place of the message that was looked for last

  constructor(parts: Parts, main: HTMLElement) {
    this.#parts = parts;
    const room = make("div", { class: "below" });
    this.composer = new Composer(parts, { drop: main });
    this.#box.append(this.#log, room);
    main.append(this.#box, this.#empty, this.#newest, this.composer.element, this.#heard);
    this.#scroller = new Scroller({
      box: this.#box,
      text: this.#log,
      room,
      below: this.composer.element,
      changed: (scroll) => this.#offer(scroll),
    });
    this.#box.addEventListener("scrollend", () => this.#messages?.near(this.#box.scrollTop));
    document.addEventListener("keydown", (event) => this.#key(event));
    effect(() => {
      void language.value;
      untracked(() => this.#name());
    });
    effect(() => {
      const { steps, loading, id } = parts.conversation.value;
      main.toggleAttribute("data-empty", !steps.value.length && !loading.value && !id.value);
    });
    effect(() => this.#begin(parts.conversation.value));
    effect(() => this.#open(parts.conversation.value, this.#turns.value));
    effect(() => this.#find());
    painted(() => void this.#load());
  }

  cancelEdit(): boolean {
    const cancel = this.#cancel;
    cancel?.();
    return cancel !== undefined;
  }

  stop(): boolean {
    const conversation = this.#parts.conversation.peek();
    if (!conversation.live.peek()) return false;
    void conversation.stop();
    return true;
  }

  #begin(conversation: Conversation): () => void {
    return untracked(() => {
      const leave = this.composer.open(conversation);
      const speech = new Speech(this.#heard, this.#parts.choices, conversation);
      const unwatch = effect(() => {
        void conversation.live.value;
        untracked(() => this.#offer(this.#scroller.scroll));
      });
      return () => {
        unwatch();
        speech.close();
        leave();
      };
    });
  }

  #open(conversation: Conversation, turns: Turns | undefined): (() => void) | undefined {
    if (!turns) return undefined;
    return untracked(() => {
      const { data, choices } = this.#parts;
      const messages = new turns.Messages({
        data,
        choices,
        conversation,
        into: this.#log,
        scroller: this.#scroller,
        tell,
        focus: () => this.#focus(),
        editing: (cancel) => void (this.#cancel = cancel),
        frame: (draw) => void requestAnimationFrame(draw),
      });
      this.#messages = messages;
      this.#scroller.restart();
      return () => {
        messages.close();
        this.#cancel = undefined;
      };
    });
  }

  /** After a deploy the files of the page before may be gone. */
  async #load(): Promise<void> {
    try {
      this.#turns.value = await import("./messages.js");
    } catch {
      const again = this.#buttons.plain("notice.reload", () => location.reload());
      this.#log.replaceChildren(make("div", { class: "trouble", role: "alert" }, make("p", {}, say("notice.newVersion")), again));
    }
  }

  /** Show the message that the address names. */
  #find(): void {
    const where = this.#parts.place.where.value;
    const conversation = this.#parts.conversation.value;
    if (!where.message || !this.#turns.value || conversation.loading.value || !conversation.steps.value.length) return;
    if (conversation.id.peek() === where.conversation) untracked(() => void this.#show(conversation, where));
  }

  /** Show it once for each time that the reader goes there. */
  async #show(conversation: Conversation, where: Where): Promise<void> {
    if (this.#shown === where) return;
    this.#shown = where;
    const node = await conversation.find(where.message!);
    if (node && conversation === this.#parts.conversation.peek()) this.#messages?.show(node);
  }

  #name(): void {
    this.#box.setAttribute("aria-label", say("turns.log"));
    this.#offer(this.#scroller.scroll);
  }

  /** Offer the way to the newest text; a dot says that more of it arrives. */
  #offer({ offered }: Scroll): void {
    const turn = this.#parts.conversation.peek().live.peek()?.turn?.peek();
    const more = turn !== undefined && live(turn.state);
    const button = this.#buttons.round("down", "turns.newest", () => {
      this.#scroller.newest();
      this.#focus();
    });
    button.classList.toggle("more", more);
    button.setAttribute("aria-label", say(more ? "turns.newestMore" : "turns.newest"));
    if (!button.isConnected) this.#newest.append(button);
    this.#newest.hidden = !offered;
  }

  /** To the box; where that would open a keyboard on the screen, to the turns. */
  #focus(): void {
    this.#box.focus({ preventScroll: true });
    this.composer.focusWithKeyboard();
  }

  /** Alt with an arrow goes from turn to turn. */
  #key(event: KeyboardEvent): void {
    const { key, altKey, ctrlKey, metaKey } = event;
    if (event.defaultPrevented || !altKey || ctrlKey || metaKey || document.querySelector("dialog[open], .menu")) return;
    if (key !== "ArrowUp" && key !== "ArrowDown") return;
    event.preventDefault();
    this.#messages?.step(key === "ArrowUp" ? -1 : 1);
  }
}
