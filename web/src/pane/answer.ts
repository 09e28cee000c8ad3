/** An answer on the page: its text as it comes, what belongs to it, and what can be done with it. */

import type { MessageNode, Place } from "../data/index.js";
import { make, arrange, icon } from "../shell/dom.js";
import { openMenu, type Item } from "../shell/menu.js";
import { effect } from "../signal.js";
import { copyText } from "../text/clipboard.js";
import { Answer } from "../text/index.js";
import { plain } from "../text/copy.js";
import { actions, live, over, reasoningOf, secondsToRetry, textOf, type Action, type Turn } from "../turn/index.js";
import { language, say, textWords } from "../words/index.js";
import { Branches } from "./branches.js";
import { Mark, Sources, Tools, TroubleRow } from "./parts.js";
import { revealed } from "./reveal.js";
import { blind, pictured } from "./sight.js";
import { Tail } from "./tail.js";
import { Thoughts } from "./thoughts.js";
import { Buttons, Frames, text, type Context } from "./view.js";

const SECOND = 1000;

/** Where an answer stands: among its siblings, after its question, and whether the chosen way ends with it. */
export interface Stands {
  readonly place: Place;
  readonly question: MessageNode | undefined;
  readonly last: boolean;
}

export class AnswerView {
  readonly element = make("article", { class: "turn of-model", tabindex: "-1" });
  readonly node: MessageNode;
  #context: Context;
  #who = make("p", { class: "who", dir: "auto" });
  #into = make("div", { class: "answer" });
  #thoughts: Thoughts | undefined;
  #tools: Tools | undefined;
  #sources: Sources | undefined;
  #mark: Mark;
  #trouble: TroubleRow;
  readonly branches = new Branches((by) => this.#context.turnTo(this.node, by));
  #bar = make("div", { class: "actions", role: "group" });
  #buttons = new Buttons();
  #run = make("a", { class: "quiet round", target: "_blank", rel: "opener" }, icon("inspect"));
  #answer: Answer | undefined;
  #tail = new Tail();
  #drawn = 0; // when, in ms
  #ended = false;
  #spoken = language.peek(); // what the controls in the text speak
  #stands: Stands = { place: { at: 1, of: 1 }, question: undefined, last: true };
  #frames: Frames;
  #stop: () => void;

  constructor(node: MessageNode, context: Context) {
    this.node = node;
    this.#context = context;
    this.#mark = new Mark(() => context.data.receipt(node));
    this.#trouble = new TroubleRow(() => context.conversation.retry(this.node));
    this.#frames = new Frames(() => this.#draw(), context.frame);
    this.#stop = effect(() => {
      const { data, conversation } = context;
      void [node.feedback.value, language.value, conversation.live.value, conversation.preferences.value.value, data.models.value];
      this.#take(node.turn!.value);
      this.#frames.ask();
    });
    // What is stored is there at once.
    this.#frames.now();
  }

  set stands(stands: Stands) {
    const { place, question, last } = this.#stands;
    this.#stands = stands;
    if (stands.last === last && stands.question === question && stands.place.at === place.at && stands.place.of === place.of) return;
    // The switch that was pressed is to have the focus at once.
    this.#frames.now();
  }

  close(): void {
    this.#stop();
    this.#frames.close();
    this.element.remove();
  }

  #draw(): void {
    const turn = this.node.turn!.peek();
    const now = Date.now();
    this.#write(turn);
    this.#name(turn);
    const thoughts = reasoningOf(turn) ? (this.#thoughts ??= new Thoughts(this.#context)) : undefined;
    thoughts?.draw(turn, now);
    const tools = turn.tools.length ? (this.#tools ??= new Tools()) : undefined;
    tools?.draw(turn.tools);
    const sources = turn.sources.length ? (this.#sources ??= new Sources()) : undefined;
    sources?.draw(turn.sources);
    const failed = this.#trouble.draw(turn, now, this.#context.conversation.live.peek() !== undefined);
    const marked = this.#mark.draw(turn, now);
    this.#actions(turn);
    arrange(this.element, [
      this.#who,
      ...(thoughts ? [thoughts.element] : []),
      this.#into,
      ...(tools ? [tools.element] : []),
      ...(sources ? [sources.element] : []),
      ...(marked ? [this.#mark.element] : []),
      ...(failed ? [this.#trouble.element] : []),
      this.#bar,
    ]);
    if (turn.state === "thinking" || (turn.problem && secondsToRetry(turn.problem, now))) this.#frames.later(SECOND);
  }

  #name(turn: Turn): void {
    const name = turn.model || say("turns.answer");
    text(this.#who, name);
    const { at, of } = this.#stands.place;
    this.element.setAttribute("aria-label", of > 1 ? `${name}, ${say("turns.branch", { number: at, count: of })}` : name);
    this.element.dataset["state"] = turn.state;
    this.element.toggleAttribute("data-over", over(turn.state) && this.#ended);
  }

  /** Show what has come: smoothly, but all of what was missed, and all at the end. */
  #write(turn: Turn): void {
    const done = over(turn.state);
    const changed = this.#ended && textOf(turn).length !== this.#tail.taken;
    if (changed || this.#spoken !== language.peek()) this.#again(turn);
    if (this.#ended) return;
    const now = performance.now();
    const { waiting } = this.#tail;
    const count = revealed(waiting, now - this.#drawn, done || turn.state === "catching-up" || still());
    this.#drawn = now;
    if (count > 0) this.#text().append(this.#tail.read(count));
    if (count < waiting) this.#frames.ask();
    if (!done) return;
    this.#ended = true;
    this.#answer?.end({ cut: turn.state !== "complete" });
  }

  #text(): Answer {
    // It is called once a frame, and draws at once.
    const { tell } = this.#context;
    return (this.#answer ??= new Answer(this.#into, { words: textWords(), announce: tell, frame: (draw) => draw() }));
  }

  #take(turn: Turn): void {
    if (!this.#ended) this.#tail.take(textOf(turn), turn.newest.text);
    this.#thoughts?.take(turn);
  }

  /** The storage knows more of what was cut, or the page speaks another language. */
  #again(turn: Turn): void {
    this.#spoken = language.peek();
    const into = make("div", { class: "answer" });
    this.#into.replaceWith(into);
    this.#into = into;
    this.#answer = undefined;
    this.#tail = new Tail();
    this.#ended = false;
    this.#take(turn);
  }

  #actions(turn: Turn): void {
    const can = actions(turn);
    this.#bar.setAttribute("aria-label", say("turns.actions"));
    const done = can.flatMap((action) => this.#button(action, turn));
    const focused = this.#bar.contains(document.activeElement);
    const more = over(turn.state) ? [this.#buttons.round("more", "turns.more", (button) => this.#more(button))] : [];
    arrange(this.#bar, [...this.branches.draw(this.#stands.place), ...done, ...this.#thumbs(turn), ...this.#inspect(turn), ...more]);
    this.#bar.hidden = !this.#bar.childElementCount;
    if (focused && !this.#bar.contains(document.activeElement)) this.element.focus({ preventScroll: true });
    this.element.toggleAttribute("data-live", live(turn.state));
  }

  #button(action: Action, turn: Turn): HTMLElement[] {
    const { conversation } = this.#context;
    switch (action) {
      case "copy":
        return over(turn.state) ? [this.#copyButton()] : [];
      case "regenerate":
        return [this.#againButton()];
      case "continue":
        // It is asked at the end of the chosen way.
        if (!this.#stands.last) return [];
        return [this.#buttons.plain("turns.continue", () => conversation.ask(say("turns.continueQuestion")), "quiet")];
      case "tryNow":
        return [this.#buttons.plain("turns.tryNow", () => conversation.tryNow())];
      case "retry":
        // With what went wrong it stands there.
        return turn.problem ? [] : [this.#unlessLive(this.#buttons.plain("turns.retry", () => conversation.retry(this.node)))];
      default:
        return [];
    }
  }

  #copyButton(): HTMLButtonElement {
    return this.#buttons.round("copy", "turns.copy", () => void this.copy());
  }

  /** A model that does not see the question's picture would answer without it. */
  #againButton(): HTMLButtonElement {
    const { conversation } = this.#context;
    const model = this.#pictured ? blind(this.#context) : undefined;
    if (!model) return this.#unlessLive(this.#buttons.round("again", "turns.regenerate", () => conversation.regenerate(this.node)));
    const button = this.#buttons.round("again", "box.blind", () => {}, { model: model.name });
    button.disabled = true;
    return button;
  }

  get #pictured(): boolean {
    const { question } = this.#stands;
    return question !== undefined && pictured(question.content);
  }

  /** One answer at a time. */
  #unlessLive(button: HTMLButtonElement): HTMLButtonElement {
    button.disabled = this.#context.conversation.live.peek() !== undefined;
    return button;
  }

  #thumbs(turn: Turn): HTMLElement[] {
    if (!this.node.stored || !over(turn.state) || !textOf(turn)) return [];
    const now = this.node.feedback.peek();
    return (["up", "down"] as const).map((way) => {
      const key = way === "up" ? "turns.good" : "turns.bad";
      const button = this.#buttons.round(`${way}-thumb`, key, () => {
        const same = this.node.feedback.peek() === way;
        void this.#context.conversation.rate(this.node, same ? null : way);
      });
      button.setAttribute("aria-pressed", String(now === way));
      return button;
    });
  }

  /** The debugger, beside this page. A tab that is opened from here has its key. */
  #inspect({ runId, state }: Turn): HTMLElement[] {
    if (!runId || !over(state)) return [];
    const words = say("turns.inspect");
    this.#run.href = new URL(`../test-stream.html#run=${encodeURIComponent(runId)}`, import.meta.url).href;
    this.#run.title = words;
    this.#run.setAttribute("aria-label", words);
    return [this.#run];
  }

  /** Copy the Markdown, or the text as it is seen. */
  async copy(as: "markdown" | "text" = "markdown"): Promise<void> {
    if (as === "text") this.#answer?.rest();
    const words = as === "text" ? plain(this.#into).trim() : textOf(this.node.turn!.peek());
    const copied = await copyText(words);
    this.#context.tell(say(copied ? "turns.copied" : "turns.notCopied"));
    const { classList } = this.#copyButton();
    classList.add(copied ? "done" : "failed");
    setTimeout(() => classList.remove("done", "failed"), 1500);
  }

  #more(opener: HTMLElement): void {
    const { conversation, data } = this.#context;
    const turn = this.node.turn!.peek();
    const models = data.models.peek()?.models ?? [];
    const items: Item[] = [];
    if (textOf(turn)) items.push({ label: say("turns.copyText"), icon: "copy", act: () => void this.copy("text") });
    for (const { name, sees } of conversation.live.peek() ? [] : models)
      if (name !== turn.model && !(sees === false && this.#pictured))
        items.push({ label: say("turns.regenerateWith", { model: name }), icon: "again", act: () => conversation.regenerate(this.node, { model: name }) });
    if (items.length) openMenu(opener, say("turns.more"), items);
  }
}

const still = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;
