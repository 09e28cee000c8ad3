/** The search: a field, and where the text was found, with the text marked. Esc gives the list back as it was. */

import type { Hit } from "../data/search.js";
import { effect, untracked } from "../signal.js";
import { say } from "../words/index.js";
import { arrange, composing, icon, make, plainButton, round, worded } from "./dom.js";
import type { Parts } from "./parts.js";
import { linkTo, titled, type RowActs } from "./row.js";

export class Finder {
  readonly field = worded(make("input", { type: "search", id: "search", dir: "auto", autocomplete: "off", spellcheck: "false", enterkeyhint: "search" }), "side.searchHint", "placeholder");
  readonly form: HTMLElement;
  readonly results = make("div", { class: "results" });
  #parts: Parts;
  #acts: RowActs;
  #state = make("p", { class: "note", role: "status" });
  #indexing = worded(make("p", { class: "note" }), "side.indexing");
  #list = make("ul");
  #more: HTMLElement;
  #opens = false; // the first hit, as soon as it is known

  constructor(parts: Parts, acts: RowActs) {
    this.#parts = parts;
    this.#acts = acts;
    worded(this.field, "side.search", "aria-label");
    const end = round("close", "side.searchEnd", () => this.end());
    this.form = make("div", { class: "search", role: "search" }, icon("search"), this.field, end);
    this.#more = plainButton("side.more", () => void parts.data.search.next());
    this.field.addEventListener("input", () => {
      this.#opens = false;
      parts.data.search.set(this.field.value);
    });
    this.field.addEventListener("keydown", (event) => this.#key(event));
    this.results.addEventListener("keydown", (event) => this.#key(event));
    effect(() => {
      end.hidden = !parts.data.search.query.value;
      if (end.hidden) this.field.value = "";
    });
    effect(() => this.#draw());
  }

  get active(): boolean {
    return this.#parts.data.search.query.value !== "";
  }

  /** End the search; return whether there was one. */
  end(): boolean {
    const active = this.#parts.data.search.query.peek() !== "";
    this.#parts.data.search.set("");
    if (active) this.field.focus();
    return active;
  }

  #key(event: KeyboardEvent): void {
    if (composing(event)) return;
    const links = [...this.#list.querySelectorAll("a")];
    const at = links.indexOf(document.activeElement as HTMLAnchorElement);
    if (event.key === "Escape") {
      if (!this.end()) return;
    } else if (event.key === "ArrowDown") links[at + 1]?.focus();
    else if (event.key === "ArrowUp" && at >= 0) (links[at - 1] ?? this.field).focus();
    else if (event.key === "Enter" && event.target === this.field) this.#enter();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Open the first hit, once the search knows of the last key. */
  #enter(): void {
    this.#opens = true;
    if (this.#parts.data.search.busy.peek()) this.#parts.data.search.now();
    else this.#openFirst();
  }

  #openFirst(): void {
    if (this.#opens) this.#list.querySelector("a")?.click();
    this.#opens = false;
  }

  #draw(): void {
    const { found, problem, busy } = this.#parts.data.search;
    const { hits = [], query = "", more = false, indexing = false } = found.value ?? {};
    const waits = busy.value;
    if (problem.value) this.#state.textContent = say(`problem.${problem.value.kind}`);
    else if (!found.value) this.#state.textContent = waits ? say("side.loading") : "";
    else if (!hits.length) this.#state.textContent = say("side.foundNone", { text: query });
    else this.#state.textContent = say(more ? "side.foundMore" : "side.found", { count: hits.length });
    this.#list.replaceChildren(...hits.map((hit) => this.#hit(hit, query)));
    if (!waits) untracked(() => this.#openFirst());
    arrange(this.results, [this.#state, ...(indexing ? [this.#indexing] : []), this.#list, ...(more ? [this.#more] : [])]);
  }

  #hit({ conversation, match }: Hit, query: string): HTMLElement {
    const title = make("span", { class: "title", dir: "auto" }, ...marked(titled(conversation), query));
    const text = match && make("small", { dir: "auto" }, start(match.before), make("mark", {}, match.text), match.after);
    const where = { conversation: conversation.id, ...(match && { message: match.messageId }) };
    return make("li", { class: "row hit" }, linkTo(where, this.#acts, title, ...(text ? [text] : [])));
  }
}

/** What is before a match has its end in view: the line is short. */
const start = (before: string): string => (before.length > 24 ? `…${before.slice(-22).trimStart()}` : before);

/** Return a text with each place of another one marked. */
function marked(text: string, query: string): (Node | string)[] {
  const small = text.toLowerCase();
  const wanted = query.toLowerCase();
  // Letters whose small form is longer would move what follows.
  if (!wanted || small.length !== text.length) return [text];
  const parts: (Node | string)[] = [];
  let from = 0;
  for (let at = small.indexOf(wanted); at >= 0; at = small.indexOf(wanted, from)) {
    parts.push(text.slice(from, at), make("mark", {}, text.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, text.slice(from)];
}
