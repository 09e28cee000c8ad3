/** Footnotes: references that wait for their note, and the notes at the answer's end with a way back to each. */

import { make } from "./dom.js";
import type { Words } from "./words.js";

interface Reference {
  link: HTMLElement;
  number: number;
  back?: HTMLElement;
}

interface Note {
  number: number;
  references: Reference[];
  item?: HTMLElement;
  back?: HTMLElement;
}

let answers = 0;

export class Notes {
  /** Every id of this answer begins with it. */
  readonly #prefix = `notes-${++answers}`;
  readonly #notes = new Map<string, Note>();
  readonly #changed = new Set<Note>();
  readonly #list = make("ol");
  readonly #section: HTMLElement;

  constructor(readonly root: Element, readonly words: Words) {
    this.#section = make("section", { class: "notes", "aria-label": words.notes }, this.#list);
  }

  /** Where blocks end and notes begin. */
  get anchor(): ChildNode | null {
    return this.#section.parentNode ? this.#section : null;
  }

  /** Return a reference; without a note it leads nowhere. */
  reference(label: string): HTMLElement {
    const note = this.#note(label);
    const number = (note.references.at(-1)?.number ?? 0) + 1;
    const link = make("a", { id: `${this.#prefix}-${note.number}-${number}` }, /^\d+$/.test(label) ? label : `[^${label}]`);
    const node = make("sup", { class: "reference", "data-label": label }, link);
    note.references.push({ link, number });
    this.#changed.add(note);
    return node;
  }

  /** Return the element that a note's blocks belong in, and what stands after them. */
  define(label: string): { into: HTMLElement; anchor: ChildNode } {
    const note = this.#note(label);
    if (!note.item) {
      note.back = make("span", { class: "backs" });
      note.item = make("li", { id: `${this.#prefix}-${note.number}`, value: String(note.number), tabindex: "-1", dir: "auto" }, note.back);
      // Most often they come in their order.
      let before = this.#list.lastElementChild as HTMLLIElement | null;
      while (before && before.value > note.number) before = before.previousElementSibling as HTMLLIElement | null;
      this.#list.insertBefore(note.item, before ? before.nextSibling : this.#list.firstChild);
      if (!this.anchor) this.root.append(this.#section);
      this.#changed.add(note);
    }
    return { into: note.item, anchor: note.back! };
  }

  /** Go to where a reference or a way back leads; the page's address stays. */
  follow(link: Element): boolean {
    const id = link.getAttribute("href")?.slice(1);
    const target = id?.startsWith(this.#prefix) ? this.root.querySelector<HTMLElement>(`[id="${id}"]`) : undefined;
    target?.scrollIntoView({ block: "nearest" });
    target?.focus({ preventScroll: true });
    return !!target;
  }

  #note(label: string): Note {
    const key = label.toLowerCase();
    let note = this.#notes.get(key);
    if (!note) this.#notes.set(key, (note = { number: this.#notes.size + 1, references: [] }));
    return note;
  }

  /** Join references and notes when the blocks are drawn: a text may have become something else meanwhile. */
  settle(): void {
    for (const note of this.#changed) {
      note.references = note.references.filter(({ link, back }) => link.isConnected || back?.remove());
      if (note.item) this.#join(note);
    }
    this.#changed.clear();
  }

  #join({ number, references, back, item }: Note): void {
    for (const reference of references) {
      const { link } = reference;
      if (reference.back) continue;
      link.setAttribute("href", `#${item!.id}`);
      link.setAttribute("aria-label", this.words.note(String(number)));
      link.firstChild!.nodeValue = String(number);
      reference.back = make("a", { href: `#${link.id}`, "aria-label": this.words.back(String(number)) }, "↩");
      back!.append(reference.back);
    }
  }
}
