/** The list of conversations, in groups by their dates. */

import { grouped, type GroupName } from "../data/dates.js";
import { effect } from "../signal.js";
import { language, say, TAGS } from "../words/index.js";
import { arrange, make, plainButton, worded } from "./dom.js";
import type { Parts } from "./parts.js";
import { linkTo, Row, titledHere, type RowActs } from "./row.js";

interface Group {
  element: HTMLElement;
  heading: HTMLElement;
  list: HTMLElement;
}

export class Groups {
  readonly element = make("div", { class: "groups" });
  #parts: Parts;
  #acts: RowActs;
  #rows = new Map<string, Row>();
  #groups = new Map<GroupName, Group>();
  #links = new Map<string, HTMLElement>();
  #more: HTMLElement;
  #here: Group;
  #none = worded(make("p", { class: "note" }), "side.none");
  #loading = worded(make("p", { class: "note" }), "side.loading");
  #failed: HTMLElement;

  constructor(parts: Parts, acts: RowActs) {
    this.#parts = parts;
    this.#acts = acts;
    this.#here = section("here");
    worded(this.#here.heading, "side.unkept");
    this.#more = plainButton("side.more", () => void parts.data.list.next());
    this.#failed = make("div", { class: "note" }, worded(make("p"), "side.failed"), plainButton("page.tryAgain", () => void parts.data.list.load()));
    effect(() => this.#draw());
    new IntersectionObserver(([seen]) => seen?.isIntersecting && void parts.data.list.next()).observe(this.#more);
  }

  /** Let the title of a conversation be changed, where it is in the list. */
  rename(id: string): void {
    this.#rows.get(id)?.rename();
  }

  /** Put the focus on a conversation; return whether it is in the list. */
  focus(id: string): boolean {
    this.#rows.get(id)?.focus();
    return this.#rows.has(id);
  }

  #draw(): void {
    const { data: { list }, place } = this.#parts;
    const all = list.conversations.value;
    const current = place.where.value.conversation;
    const groups = grouped(all, new Date());
    const shown = groups.map(({ name, conversations }) => {
      const group = this.#group(name);
      const rows = conversations.map((view) => {
        const row = this.#row(view.id, () => new Row(view, this.#acts));
        row.show(view, view.id === current);
        return row.element;
      });
      arrange(group.list, rows);
      return group.element;
    });
    this.#forget(new Set(all.map(({ id }) => id)), new Set(groups.map(({ name }) => name)));
    const failed = !!list.problem.value && !all.length;
    const state = all.length ? [] : failed ? [this.#failed] : list.loading.value ? [this.#loading] : [this.#none];
    const here = this.#unkept();
    arrange(this.#here.list, here);
    arrange(this.element, [...(here.length ? [this.#here.element] : []), ...shown, ...state, ...(list.more.value ? [this.#more] : [])]);
  }

  #group(name: GroupName): Group {
    const group = this.#groups.get(name) ?? section(name);
    group.heading.textContent = nameOf(name);
    this.#groups.set(name, group);
    return group;
  }

  /** Those that the service does not have: there is nothing to be done with them but to open them. */
  #unkept(): HTMLElement[] {
    const { data, place } = this.#parts;
    const { begun: current } = place.where.value;
    const here = [...data.begun.value].filter(([, one]) => one.unkept.value);
    for (const begun of this.#links.keys()) if (!data.begun.value.has(begun)) this.#links.delete(begun);
    return here.map(([begun, one]) => {
      const title = titledHere(one);
      const row = this.#links.get(begun) ?? make("li", { class: "row" }, linkTo({ conversation: undefined, begun }, this.#acts, make("span", { class: "title", dir: "auto" })));
      this.#links.set(begun, row);
      const link = row.querySelector("a")!;
      link.title = link.firstElementChild!.textContent = title;
      if (begun === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
      return row;
    });
  }

  #row(id: string, create: () => Row): Row {
    const row = this.#rows.get(id) ?? create();
    this.#rows.set(id, row);
    return row;
  }

  #forget(ids: ReadonlySet<string>, names: ReadonlySet<string>): void {
    for (const id of this.#rows.keys()) if (!ids.has(id)) this.#rows.delete(id);
    for (const name of this.#groups.keys()) if (!names.has(name)) this.#groups.delete(name);
  }
}

function section(name: string): Group {
  const id = `group-${name}`;
  const heading = make("h2", { id });
  const list = make("ul", { "aria-labelledby": id });
  return { element: make("section", {}, heading, list), heading, list };
}

/** Return the name of a group: a word of the page, or a month in the reader's language. */
function nameOf(name: GroupName): string {
  const tag = TAGS[language.value];
  if (name === "today" || name === "yesterday" || name === "week" || name === "month") return say(`day.${name}`);
  const [year, month] = name.split("-").map(Number);
  return new Date(year!, month! - 1).toLocaleDateString(tag, { year: "numeric", month: "long" });
}
