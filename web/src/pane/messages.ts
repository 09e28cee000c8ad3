/** The turns of a conversation on the page, in their order; the same message keeps its element. */

import type { MessageNode, Step } from "../data/index.js";
import { arrange, make } from "../shell/dom.js";
import { effect, untracked } from "../signal.js";
import { copied } from "../text/copy.js";
import { live } from "../turn/index.js";
import { language, say } from "../words/index.js";
import { AnswerView } from "./answer.js";
import { QuestionView } from "./question.js";
import type { Scroller } from "./scroller.js";
import { Buttons, text, type Context } from "./view.js";

type View = QuestionView | AnswerView;

/** Pixels from the top at which older messages are read. */
const EARLY = 600;

const FLASH = 1600;

export interface MessagesParts extends Pick<Context, "data" | "choices" | "conversation" | "tell" | "focus" | "editing" | "frame"> {
  into: HTMLElement;
  scroller: Scroller;
}

export class Messages {
  #context: Context;
  #scroller: Scroller;
  #into: HTMLElement;
  #views = new Map<string, View>();
  #order: View[] = [];
  #buttons = new Buttons();
  #above = make("div", { class: "row-of older" });
  #unprinted = make("p", { class: "unprinted" });
  #problem = make("div", { class: "trouble", role: "alert" });
  #drawn = false;
  #closed = false;
  #undo: (() => void)[];

  constructor({ into, scroller, ...shared }: MessagesParts) {
    this.#into = into;
    this.#scroller = scroller;
    const keep = (element: HTMLElement, change: () => void) => scroller.keep(element, change);
    this.#context = { ...shared, keep, turnTo: (node, by) => this.#turnTo(node, by) };
    const { conversation } = shared;
    const copy = (event: ClipboardEvent) => this.#copy(event);
    into.addEventListener("copy", copy);
    this.#undo = [
      () => into.removeEventListener("copy", copy),
      effect(() => {
        const steps = conversation.steps.value;
        const older = conversation.older.value;
        const problem = this.#said();
        void language.value;
        untracked(() => this.#draw(steps, { older, problem }));
      }),
    ];
  }

  /** The reader is near the top: what is older may be wanted. */
  near(top: number): void {
    const { conversation } = this.#context;
    if (top < EARLY && conversation.older.peek() && this.#drawn) void conversation.loadOlder();
  }

  /** Put the focus on the turn before (-1) or after (1). */
  step(by: -1 | 1): void {
    const at = this.#order.findIndex(({ element }) => element.contains(document.activeElement));
    const to = at < 0 ? (by < 0 ? this.#order.length - 1 : 0) : at + by;
    this.#order[to]?.element.focus();
  }

  /** Show a message, and mark it for a moment. */
  show(node: MessageNode): void {
    const view = this.#views.get(node.key);
    if (!view) return;
    this.#scroller.show(view.element);
    view.element.classList.add("found");
    view.element.focus({ preventScroll: true });
    setTimeout(() => view.element.classList.remove("found"), FLASH);
  }

  close(): void {
    this.#closed = true;
    for (const undo of this.#undo) undo();
    for (const view of this.#views.values()) view.close();
    this.#into.replaceChildren();
  }

  /** To be searched by the browser, or printed. */
  async #all(): Promise<void> {
    const { conversation } = this.#context;
    do {
      await idle(conversation);
      await conversation.loadOlder();
    } while (conversation.older.peek() && !conversation.problem.peek() && !this.#closed);
  }

  /** What is selected is copied as text for any program, and without the colours and controls of this page. */
  #copy(event: ClipboardEvent): void {
    const selection = document.getSelection();
    const field = event.target instanceof Element && event.target.closest("textarea, input");
    if (field || !event.clipboardData || !selection || selection.isCollapsed) return;
    const { text: words, html } = copied(selection.getRangeAt(0));
    event.preventDefault();
    event.clipboardData.setData("text/plain", html ? words.trimEnd() : words);
    if (html) event.clipboardData.setData("text/html", html);
  }

  #said(): string {
    const problem = this.#context.conversation.problem.value;
    if (!problem || problem.kind === "key" || problem.kind === "storage") return "";
    return problem.kind === "gone" ? say("turns.notThere") : `${say(`problem.${problem.kind}`)} ${say("remedy.retry")}`;
  }

  #draw(steps: readonly Step[], { older, problem }: { older: boolean; problem: string }): void {
    const focused = this.#into.contains(document.activeElement);
    const sent = this.#drawn && this.#sent(steps);
    const order = steps.flatMap((step) => this.#of(step, step === steps.at(-1)));
    const first = this.#order.find((view) => order.includes(view));
    text(this.#problem, problem);
    text(this.#unprinted, say("turns.unprinted"));
    arrange(this.#above, [
      this.#buttons.plain("turns.older", () => void this.#context.conversation.loadOlder()),
      this.#buttons.plain("turns.all", () => void this.#all(), "quiet"),
      this.#unprinted,
    ]);
    const place = () => {
      const nodes = order.map(({ element }) => element);
      arrange(this.#into, [...(older ? [this.#above] : []), ...nodes, ...(problem ? [this.#problem] : [])]);
    };
    // What is older stands above: what is read stays where it is.
    if (first && first !== order[0]) this.#scroller.keep(first.element, place);
    else place();
    this.#drop(order);
    this.#order = order;
    if (steps.length) this.#drawn = true;
    if (sent) this.#follow(steps.at(-1)!, sent);
    if (focused && !this.#into.contains(document.activeElement)) this.#context.focus();
  }

  /** Whether the last answer was asked for here, since the last draw: with its question, or again. */
  #sent(steps: readonly Step[]): "new" | "again" | undefined {
    const { question, answer } = steps.at(-1) ?? {};
    if (!answer?.turn || this.#views.has(answer.key)) return undefined;
    const { state, phase } = answer.turn.peek();
    if (!live(state) || phase !== "sending") return undefined;
    return question && this.#views.has(question.key) ? "again" : "new";
  }

  #follow({ question, answer }: Step, sent: "new" | "again"): void {
    const view = this.#views.get((question ?? answer)!.key);
    if (view) this.#scroller.sent(view.element, sent === "again");
  }

  #of({ question, answer, questions, answers }: Step, last: boolean): View[] {
    const views: View[] = [];
    if (question && question.role !== "system" && question.role !== "developer") {
      const view = this.#get(question, () => new QuestionView(question, this.#context)) as QuestionView;
      view.place = questions;
      view.answer = answer;
      views.push(view);
    }
    if (answer) {
      const view = this.#get(answer, () => new AnswerView(answer, this.#context)) as AnswerView;
      view.stands = { place: answers, question, last };
      views.push(view);
    }
    return views;
  }

  #get(node: MessageNode, create: () => View): View {
    const before = this.#views.get(node.key);
    // The storage's word for a message that was made here is another node of the same name.
    if (before?.node === node) return before;
    before?.close();
    const made = create();
    this.#views.set(node.key, made);
    return made;
  }

  /** Let go of what is not on the chosen way. */
  #drop(order: readonly View[]): void {
    const stays = new Set(order);
    for (const [key, view] of this.#views) {
      if (stays.has(view)) continue;
      view.close();
      this.#views.delete(key);
    }
  }

  /** Take another version; it stands where the one before stood, and so does the focus. */
  #turnTo(node: MessageNode, by: -1 | 1): void {
    const view = this.#views.get(node.key);
    if (!view) return;
    const at = this.#order.indexOf(view);
    const focused = view.element.contains(document.activeElement);
    this.#scroller.keep(view.element, () => {
      this.#context.conversation.turnTo(node, by);
      return this.#order[at]?.element;
    }, true);
    const now = this.#order[at];
    if (focused) now?.branches.focus(by);
  }
}

/** Wait until nothing is being read. */
function idle({ loading }: Context["conversation"]): Promise<void> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      if (loading.value) return;
      resolve();
      queueMicrotask(() => stop());
    });
  });
}
