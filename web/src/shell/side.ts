/** The side of the page: a new conversation, the search, the list, and the ways to settings and help. On phones it is a drawer. */

import type { ConversationView } from "../data/types.js";
import { effect } from "../signal.js";
import { say } from "../words/index.js";
import { arrange, button, byId, composing, icon, make, round, tell, worded } from "./dom.js";
import { embedded } from "./embedded.js";
import { Finder } from "./finder.js";
import { Groups } from "./groups.js";
import { openMenu } from "./menu.js";
import { showDeleted } from "./notices.js";
import type { Parts } from "./parts.js";
import type { Where } from "./place.js";
import { titled, type RowActs } from "./row.js";
import { saveFile } from "./save.js";

export interface SideActs {
  settings(): void;
  help(): void;
  /** Something was chosen. */
  chosen(): void;
}

const WIDE = "(min-width: 900px)";

export class Side {
  readonly finder: Finder;
  #parts: Parts;
  #groups: Groups;
  #side = byId("side", HTMLElement);
  #page = byId("page", HTMLElement);
  #drawer = byId("drawer", HTMLDialogElement);
  #wide = matchMedia(WIDE);

  constructor(parts: Parts, on: SideActs) {
    this.#parts = parts;
    const acts: RowActs = {
      address: (where) => parts.place.address(where),
      open: (where) => this.#open(where, on),
      menu: (opener, conversation) => this.#menu(opener, conversation),
      rename: (id, title) => void this.#rename(id, title),
    };
    this.finder = new Finder(parts, acts);
    this.#groups = new Groups(parts, acts);
    const begin = button("new", "side.new", () => acts.open({ conversation: undefined }), "new");
    const close = round("close", "page.closeSide", () => this.close());
    close.classList.add("close-side");
    const debug = make("a", { class: "quiet round", href: `${parts.place.base}test-stream.html`, ...(embedded && { target: "_blank" }) }, icon("inspect"));
    for (const attribute of ["aria-label", "title"]) worded(debug, "page.debugger", attribute);
    const links = make("div", { class: "foot" }, button("settings", "settings.title", on.settings), button("help", "help.title", on.help), debug);
    const scroll = make("div", { class: "scroll" });
    const toasts = make("div", { class: "toasts" });
    showDeleted(parts, toasts, (id) => this.#groups.focus(id) || begin.focus());
    this.#side.append(make("div", { class: "head" }, make("div", { class: "first" }, begin, close), this.finder.form), scroll, toasts, links);
    effect(() => arrange(scroll, [this.finder.active ? this.finder.results : this.#groups.element]));
    this.#settle();
    this.#wide.addEventListener("change", () => this.#settle());
    this.#listen();
  }

  /** Show the side, or hide it: beside the page, or over it. */
  toggle(): void {
    if (!this.#wide.matches) return this.#drawer.open ? this.close() : this.open();
    const focused = this.#side.contains(document.activeElement);
    if (this.#page.toggleAttribute("data-alone") && focused) byId("open-side", HTMLButtonElement).focus();
  }

  open(): void {
    if (this.#wide.matches) this.#page.removeAttribute("data-alone");
    else if (!this.#drawer.open) {
      this.#drawer.showModal();
      this.#parts.place.cover(() => this.#drawer.close());
    }
  }

  close(): void {
    if (this.#drawer.open) this.#drawer.close();
  }

  /** Put the focus into the search, with what is in it selected. */
  search(): void {
    this.open();
    this.finder.field.focus();
    this.finder.field.select();
  }

  /** It is beside the page where there is room, and in the drawer where there is none. */
  #settle(): void {
    const wide = this.#wide.matches;
    if (wide) this.close();
    if (wide) this.#page.prepend(this.#side);
    else this.#drawer.append(this.#side);
  }

  #listen(): void {
    this.#drawer.addEventListener("close", () => this.#parts.place.uncover());
    this.#drawer.addEventListener("click", (event) => event.target === this.#drawer && this.close());
    this.#drawer.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && composing(event)) event.preventDefault();
    });
  }

  #open(where: Where, on: SideActs): void {
    this.#parts.place.go(where);
    this.close();
    on.chosen();
  }

  #menu(opener: HTMLElement, conversation: ConversationView): void {
    const title = titled(conversation);
    const { id } = conversation;
    openMenu(opener, say("side.actions", { title }), [
      { label: say("side.rename"), icon: "edit", act: () => this.#groups.rename(id) },
      { label: say("side.exportMarkdown"), icon: "export", act: () => void this.#export(conversation, "markdown") },
      { label: say("side.exportJson"), icon: "export", act: () => void this.#export(conversation, "json") },
      { label: say("side.delete"), icon: "delete", danger: true, act: () => this.#remove(id) },
    ]);
  }

  /** Delete it; the focus goes to the one that comes into its place. */
  #remove(id: string): void {
    const rows = [...this.#groups.element.querySelectorAll<HTMLElement>(".row a")];
    const at = rows.findIndex((row) => row.closest("li")?.contains(document.activeElement));
    this.#parts.data.list.remove(id);
    if (this.#parts.place.where.peek().conversation === id) this.#parts.place.go();
    const left = [...this.#groups.element.querySelectorAll<HTMLElement>(".row a")];
    (left[Math.min(Math.max(at, 0), left.length - 1)] ?? this.#side.querySelector<HTMLElement>(".new"))?.focus();
  }

  async #rename(id: string, title: string): Promise<void> {
    await this.#parts.data.list.rename(id, title);
    const stored = this.#parts.data.list.get(id)?.title === title;
    tell(stored ? say("side.renamed", { title }) : say("side.renameFailed"));
  }

  async #export(conversation: ConversationView, format: "markdown" | "json"): Promise<void> {
    const title = titled(conversation);
    try {
      saveFile(await this.#parts.data.list.exported(conversation.id, format), `${title}.${format === "json" ? "json" : "md"}`);
    } catch {
      tell(say("side.exportFailed", { title }));
    }
  }
}
