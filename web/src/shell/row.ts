/** A conversation in the list: its title, whether it answers, what can be done with it, and its title in a field. */

import { titleOf, type Conversation } from "../data/index.js";
import type { ConversationView } from "../data/types.js";
import { bare } from "../text/bare.js";
import { say } from "../words/index.js";
import { composing, make, icon } from "./dom.js";
import type { Where } from "./place.js";

export interface RowActs {
  address(where: Where): string;
  open(where: Where): void;
  menu(opener: HTMLElement, conversation: ConversationView): void;
  rename(id: string, title: string): void;
}

/** Return a link that is followed in this page, unless another tab or window is meant. */
export function linkTo(where: Where, acts: Pick<RowActs, "address" | "open">, ...children: (Node | string)[]): HTMLAnchorElement {
  const link = make("a", { href: acts.address(where) }, ...children);
  link.addEventListener("click", (event) => {
    if (event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    acts.open(where);
  });
  return link;
}

export class Row {
  readonly element: HTMLLIElement;
  readonly id: string;
  #acts: RowActs;
  #view: ConversationView;
  #title = make("span", { class: "title", dir: "auto" });
  #live = make("span", { class: "live" });
  #link: HTMLAnchorElement;
  #menu: HTMLButtonElement;

  constructor(view: ConversationView, acts: RowActs) {
    this.id = view.id;
    this.#view = view;
    this.#acts = acts;
    this.#link = linkTo({ conversation: view.id }, acts, this.#title, this.#live);
    this.#menu = make("button", { type: "button", class: "quiet round", "aria-haspopup": "menu", "aria-expanded": "false" }, icon("more"));
    this.#menu.addEventListener("click", () => acts.menu(this.#menu, this.#view));
    this.element = make("li", { class: "row" }, this.#link, this.#menu);
  }

  /** Show the conversation as it is now, in the words of now. */
  show(view: ConversationView, current: boolean): void {
    this.#view = view;
    const title = titled(view);
    if (this.#title.textContent !== title) this.#title.textContent = title;
    this.#link.title = title;
    this.#live.textContent = view.liveRunId ? say("side.live") : "";
    this.#live.hidden = !view.liveRunId;
    this.#menu.setAttribute("aria-label", say("side.actions", { title }));
    if (current) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }

  focus(): void {
    this.#link.focus();
  }

  /** Put the title into a field: Enter keeps what is typed, Esc what was. */
  rename(): void {
    const field = make("input", { class: "rename", dir: "auto", maxlength: "200", autocomplete: "off", "aria-label": say("side.renameLabel") });
    field.value = titled(this.#view);
    let over = false;
    const end = (title: string) => {
      if (over) return;
      over = true;
      const focused = document.activeElement === field;
      this.element.replaceChildren(this.#link, this.#menu);
      if (focused) this.#menu.focus();
      if (title && title !== titled(this.#view)) this.#acts.rename(this.id, title);
    };
    field.addEventListener("keydown", (event) => {
      if (composing(event) || (event.key !== "Enter" && event.key !== "Escape")) return;
      event.preventDefault();
      event.stopPropagation();
      end(event.key === "Enter" ? field.value.trim() : "");
    });
    field.addEventListener("blur", () => end(field.value.trim()));
    this.element.replaceChildren(field);
    field.focus();
    field.select();
  }
}

/** A title is most often the first line of a question: its text is shown, without the marks in it. */
export const titled = ({ title }: Pick<ConversationView, "title">): string => bare(title) || say("page.untitled");

/** The title of a conversation that the service does not have. */
export const titledHere = ({ steps }: Conversation): string => titled({ title: titleOf(steps.value[0]?.question?.text ?? "") });
