/** A question on the page: its words, pictures and files, and editing it in its place. */

import { editOf, type MessageNode, type Place } from "../data/index.js";
import { arrange, make } from "../shell/dom.js";
import { effect } from "../signal.js";
import { picture } from "../text/urls.js";
import { actions, notSent, type Turn } from "../turn/index.js";
import { language, say } from "../words/index.js";
import { Branches } from "./branches.js";
import { Editor } from "./editor.js";
import { linesOf, split } from "./quote.js";
import { Buttons, Frames, text, type Context } from "./view.js";

export class QuestionView {
  readonly element = make("article", { class: "turn of-person", tabindex: "-1" });
  readonly node: MessageNode;
  readonly branches = new Branches((by) => this.#context.turnTo(this.node, by));
  #context: Context;
  #who = make("p", { class: "who" });
  #bubble = make("div", { class: "bubble" });
  #note = make("p", { class: "note" });
  #bar = make("div", { class: "actions", role: "group" });
  #buttons = new Buttons();
  #place: Place = { at: 1, of: 1 };
  #answer: MessageNode | undefined;
  #editor: Editor | undefined;
  #shown: MessageNode["content"] | undefined; // what the bubble has
  #spoken = language.peek(); // and in which language
  #frames: Frames;
  #stop: () => void;
  #unwatch: () => void = () => {};

  constructor(node: MessageNode, context: Context) {
    this.node = node;
    this.#context = context;
    this.#frames = new Frames(() => this.#draw(), context.frame);
    this.#stop = effect(() => {
      void [language.value, context.conversation.live.value];
      this.#frames.ask();
    });
    this.#frames.now();
  }

  set place(place: Place) {
    if (place.at === this.#place.at && place.of === this.#place.of && this.#shown === this.node.content) return;
    this.#place = place;
    // The switch that was pressed is to have the focus at once.
    this.#frames.now();
  }

  /** The answer tells whether the service has the question, and whether it can be edited. */
  set answer(answer: MessageNode | undefined) {
    if (answer === this.#answer) return;
    this.#answer = answer;
    this.#unwatch();
    this.#unwatch = effect(() => {
      void answer?.turn?.value.state;
      this.#frames.ask();
    });
  }

  close(): void {
    this.#end();
    this.#stop();
    this.#unwatch();
    this.#frames.close();
    this.element.remove();
  }

  /** Edit it where it stands. What is typed is kept like any draft; Esc gives it up. */
  edit(): void {
    if (this.#editor) return;
    const through = () => {
      this.#context.data.drafts.forget(editOf(this.node.id));
      this.#end();
      this.element.focus({ preventScroll: true });
    };
    const send = (words: string) => {
      through();
      this.#context.conversation.edit(this.node, this.#edited(words));
    };
    this.#editor = new Editor(this.node, this.#context, { cancel: through, send });
    this.#context.editing(through);
    this.#draw();
    this.#editor.focus();
  }

  /** The pictures stay. */
  #edited(words: string): MessageNode["content"] {
    const { content } = this.node;
    if (typeof content === "string") return words;
    return [...content.filter(({ type }) => type !== "text"), { type: "text", text: words }];
  }

  #end(): void {
    if (!this.#editor) return;
    this.#editor.close();
    this.#editor = undefined;
    this.#context.editing(undefined);
    this.#frames.now();
  }

  #draw(): void {
    const turn = this.#answer?.turn?.peek();
    const you = say("turns.you");
    const { at, of } = this.#place;
    text(this.#who, you);
    if (this.#shown !== this.node.content || this.#spoken !== language.peek()) this.#bubble.replaceChildren(...contents(this.node));
    this.#shown = this.node.content;
    this.#spoken = language.peek();
    this.element.setAttribute("aria-label", of > 1 ? `${you}, ${say("turns.branch", { number: at, count: of })}` : you);
    this.#bar.setAttribute("aria-label", say("turns.actions"));
    this.element.toggleAttribute("data-over", !turn || !this.#live);
    const unsent = turn !== undefined && notSent(turn);
    this.element.toggleAttribute("data-unsent", unsent);
    text(this.#note, unsent ? say("turn.notSent") : "");
    const edit = this.#editable(turn) ? [this.#buttons.round("edit", "turns.edit", () => this.edit())] : [];
    arrange(this.#bar, [...this.branches.draw(this.#place), ...edit]);
    // Its room is there from the beginning: when the answer ends, nothing moves.
    this.#bar.hidden = this.node.role !== "user";
    arrange(this.element, [this.#who, this.#editor?.element ?? this.#bubble, ...(unsent ? [this.#note] : []), ...(this.#editor ? [] : [this.#bar])]);
  }

  get #live(): boolean {
    return this.#context.conversation.live.peek() !== undefined;
  }

  #editable(turn: Turn | undefined): boolean {
    return !this.#live && this.node.role === "user" && (!turn || actions(turn).includes("edit"));
  }
}

/** Return the nodes of a question: nothing in it is read as Markdown or as HTML. */
function contents({ role, content, message }: MessageNode): Node[] {
  const parts = typeof content === "string" ? [{ type: "text", text: content }] : content;
  if (role === "tool") return [folded(say("turns.toolResult"), textOf(parts) || String(message?.name ?? ""))];
  const nodes: Node[] = [];
  for (const part of parts) {
    const src = part["type"] === "image_url" && shown(part);
    if (src) nodes.push(make("img", { src, alt: "", loading: "lazy" }));
  }
  const { words, quotes } = split(textOf(parts));
  if (words) nodes.push(make("p", { dir: "auto" }, words));
  for (const { name, text: quoted } of quotes) nodes.push(folded(say("box.file", { name, lines: linesOf(quoted) }), quoted));
  return nodes;
}

const textOf = (parts: readonly Record<string, unknown>[]): string =>
  parts.flatMap((part) => (part["type"] === "text" && typeof part["text"] === "string" ? [part["text"]] : [])).join("\n");

/** A picture that came with the question; one that is elsewhere is not loaded. */
function shown(part: Record<string, unknown>): string | undefined {
  const url = (part["image_url"] as { url?: unknown } | undefined)?.url;
  const found = typeof url === "string" ? picture(url, location.href) : undefined;
  return found && !found.host ? found.src : undefined;
}

function folded(name: string, quoted: string): HTMLElement {
  return make("details", { class: "card" }, make("summary", { dir: "auto" }, name), make("pre", { tabindex: "0", dir: "auto" }, quoted));
}
