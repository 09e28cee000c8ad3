/** All that the page knows: opened once, before anything is shown. */

import { Client } from "../../../clients/js/src/index.js";
import { effect, signal, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { Api, troubleOf } from "./api.js";
import { Conversation } from "./conversation.js";
import { Drafts } from "./drafts.js";
import { Keys } from "./keys.js";
import { List } from "./list.js";
import { onHide, onReturn } from "./page.js";
import { Search } from "./search.js";
import type { Shared } from "./shared.js";
import { Store } from "./store.js";
import { Tabs, type News } from "./tabs.js";
import type { Info, Models } from "./types.js";

export { Trouble } from "./api.js";
export { Conversation } from "./conversation.js";
export { grouped, titleOf, type Group, type GroupName } from "./dates.js";
export { NEW, editOf } from "./drafts.js";
export type { Deleted } from "./list.js";
export type { MessageNode } from "./node.js";
export type { Waiting } from "./queue.js";
export type { Found, Hit } from "./search.js";
export type { Step } from "./steps.js";
export type { Place } from "./tree.js";
export { plain } from "./types.js";
export type * from "./types.js";

export interface DataOptions {
  /** Where the service is; the folder of the page unless given. */
  base?: string;
  /** Returns a token of the application that the page is part of. Without it a key is asked for where one is wanted. */
  token?: () => string | Promise<string>;
  fetch?: typeof fetch;
  /** Whether tabs share one connection. */
  share?: boolean;
  local?: () => Storage;
  session?: () => Storage;
}

/** A start is tried again for so many seconds; who has to wait for longer is told. */
const START_PATIENCE = 4;

/** At most every so many milliseconds a page that is seen again reads anew. */
const RETURN = 5000;

const KEPT = 8; // conversations besides those with an answer on its way

export class Data {
  readonly keys: Keys;
  readonly drafts: Drafts;
  readonly list: List;
  readonly search: Search;
  readonly info: Signal<Info | undefined> = signal(undefined);
  readonly models: Signal<Models | undefined> = signal(undefined);
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  /** `away`: conversations live in the page for now. */
  readonly storage: Signal<"unknown" | "there" | "away"> = signal("unknown");
  #api: Api;
  #shared: Shared;
  #tabs: Tabs;
  #open = new Set<Conversation>();
  #returned = 0;
  #undo: (() => void)[];

  constructor(options: DataOptions = {}) {
    const base = new URL(options.base ?? "./", location.href).href;
    const { fetch, share, token } = options;
    const store = new Store(options.local ?? (() => localStorage));
    const session = new Store(options.session ?? (() => sessionStorage));
    this.keys = new Keys(session, store, token);
    this.#api = new Api({ base, keys: this.keys, ...(fetch && { fetch }) });
    this.#tabs = new Tabs(base);
    this.drafts = new Drafts(store, session);
    this.list = new List(this.#api, this.#tabs);
    this.search = new Search(this.#api);
    const more = { ...(fetch && { fetch }), ...(share !== undefined && { share }) };
    const client = new Client({ baseUrl: base, key: this.keys.current, startPatience: START_PATIENCE, ...more });
    const { drafts, list, storage } = this;
    const refused = (problem: Problem) => void this.#known(problem);
    this.#shared = { api: this.#api, client, store, session, drafts, list, tabs: this.#tabs, storage, refused };
    this.#undo = [
      onHide(() => this.#open.forEach((one) => one.keep())),
      onReturn(() => void this.#return()),
      this.#tabs.listen((news) => void this.#hear(news)),
      this.#onKey(),
    ];
  }

  /** Read what the page needs first. What cannot be read is in `problem`, and nothing is thrown. */
  async start(): Promise<void> {
    await Promise.all([this.#read("ai/info", this.info), this.#read("ai/models", this.models), this.reload()]);
  }

  /** Read the list anew. */
  async reload(): Promise<void> {
    await this.list.load();
    const problem = this.list.problem.peek();
    if (problem) this.#met(problem);
    else this.storage.value = "there";
  }

  /** Return a conversation of the service, or, without an id, a new one. */
  open(id?: string): Conversation {
    const here = [...this.#open].find((one) => one.id.peek() === id && (id || !one.steps.peek().length));
    const one = here ?? new Conversation(this.#shared, id);
    this.#open.delete(one);
    this.#open.add(one);
    this.#prune(one);
    if (here) void one.reread();
    else void one.load();
    return one;
  }

  close(): void {
    for (const undo of this.#undo) undo();
    for (const one of this.#open) one.close();
    this.drafts.close();
    this.list.close();
    this.#tabs.close();
  }

  async #read<T>(path: string, into: Signal<T | undefined>): Promise<void> {
    try {
      into.value = await this.#api.json<T>("GET", path);
      this.problem.value = undefined;
    } catch (error) {
      this.#met(troubleOf(error));
    }
  }

  #met(problem: Problem): void {
    if (!this.#known(problem)) this.problem.value = problem;
  }

  /** Whether the page has a place of its own for a problem: it asks for the key, or says that nothing is kept. */
  #known({ kind }: Problem): boolean {
    if (kind === "key") this.keys.refused();
    else if (kind === "storage") this.storage.value = "away";
    return kind === "key" || kind === "storage";
  }

  /** Let go of conversations that nothing happens in, the one that was open longest ago first. */
  #prune(current: Conversation): void {
    const idle = [...this.#open].filter((one) => one !== current && !one.live.peek() && one.id.peek());
    for (const one of idle.slice(0, -KEPT)) {
      one.close();
      this.#open.delete(one);
    }
  }

  /** With a new key, everything is read and sent that was refused. */
  #onKey(): () => void {
    let before = false;
    return effect(() => {
      const wanted = this.keys.wanted.value;
      const given = before && !wanted;
      before = wanted;
      if (!given) return;
      void this.start();
      for (const one of this.#open) one.retryKey();
    });
  }

  async #return(): Promise<void> {
    if (Date.now() - this.#returned < RETURN) return;
    this.#returned = Date.now();
    await this.reload();
    await [...this.#open].at(-1)?.reread();
  }

  async #hear({ event, conversation }: News): Promise<void> {
    if (event === "deleted") return this.list.drop(conversation);
    await this.reload();
    if (event === "list") return;
    for (const one of this.#open) if (one.id.peek() === conversation) await one.reread();
  }
}
