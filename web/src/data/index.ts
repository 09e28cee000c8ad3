/** All that the page knows: opened once, before anything is shown. */

import { Client } from "../../../clients/js/src/index.js";
import { effect, signal, untracked, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { Api, troubleOf, type AskOptions } from "./api.js";
import { Conversation } from "./conversation.js";
import { Drafts } from "./drafts.js";
import { Host } from "./host.js";
import { Homes } from "./homes.js";
import { Keys } from "./keys.js";
import { List } from "./list.js";
import type { MessageNode } from "./node.js";
import { onHide, onReturn } from "./page.js";
import { readReceipt } from "./receipt.js";
import { Search } from "./search.js";
import type { Shared } from "./shared.js";
import { Store } from "./store.js";
import { Tabs, type News } from "./tabs.js";
import type { Info, Models } from "./types.js";

export { Conversation } from "./conversation.js";
export { titleOf } from "./dates.js";
export { editOf } from "./drafts.js";
export type { MessageNode } from "./node.js";
export type { Waiting } from "./queue.js";
export type { Step } from "./steps.js";
export type { Place } from "./tree.js";
export type * from "./types.js";

export interface DataOptions {
  /** Where the service is; the folder of the page unless given. */
  base?: string;
  /** The window of the application that the page is part of, which may hand over a token. */
  around?: Window | undefined;
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
  /** How often all conversations were closed, since somebody else may be reading: what is open is to be opened again. */
  readonly closed: Signal<number> = signal(0);
  /** `away`: conversations live in the page for now. */
  readonly storage: Signal<"unknown" | "there" | "away"> = signal("unknown");
  /** Conversations that began in this page and have no id yet, by the names that stand for them. */
  readonly begun: Signal<ReadonlyMap<string, Conversation>> = signal(new Map());
  /** Whether the browser has no room for a draft, or for a question that waits. */
  readonly unkept: Signal<boolean> = signal(false);
  #api: Api;
  #host: Host | undefined;
  #shared: Shared;
  #tabs: Tabs;
  #open = new Set<Conversation>();
  #problems = new Map<string, Problem>(); // of each thing that is read
  #returned = 0; // when it was read with success
  #returning = false; // whether it is read just now
  #undo: (() => void)[];

  constructor(options: DataOptions = {}) {
    const base = new URL(options.base ?? "./", location.href).href;
    const { around, fetch, share } = options;
    const store = new Store(options.local ?? (() => localStorage));
    const session = new Store(options.session ?? (() => sessionStorage));
    this.#host = around && new Host(around, (changed) => this.keys.again(changed));
    this.keys = new Keys(session, store, this.#host);
    this.#api = new Api({ base, keys: this.keys, ...(fetch && { fetch }) });
    this.#tabs = new Tabs(base);
    this.drafts = new Drafts(store, session);
    this.list = new List(this.#api, this.#tabs);
    this.search = new Search(this.#api);
    const more = { ...(fetch && { fetch }), share: share !== false && this.#tabs.possible };
    const client = new Client({ baseUrl: base, key: this.keys.current, startPatience: START_PATIENCE, ...more });
    const { drafts, list, storage } = this;
    const homes = new Homes(store, session, drafts);
    const refused = (problem: Problem) => {
      if (this.#known(problem) && problem.kind === "key") this.keys.missed.value++;
    };
    this.#shared = { api: this.#api, client, store, session, drafts, homes, list, tabs: this.#tabs, storage, refused };
    this.#undo = [
      onHide(() => this.#open.forEach((one) => one.keep())),
      onReturn((online) => void this.#return(online)),
      this.#tabs.listen((news) => void this.#hear(news)),
      effect(() => void (this.unkept.value = store.unkept.value.some((name) => /^(draft|queue)\./.test(name)))),
      this.#onKey(),
      this.#onOwner(),
    ];
  }

  /** Read what the page needs first. What cannot be read is in `problem`, and nothing is thrown. */
  start(): Promise<void> {
    return this.#anew(this.#meet(), this.#models());
  }

  /** Read the list anew. */
  async reload(): Promise<void> {
    await this.list.load();
    const problem = this.list.problem.peek();
    this.#met("ai/conversations", problem);
    if (!problem) this.storage.value = "there";
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

  /** Read the receipt of a stopped answer's stop; return why there is none. */
  receipt(answer: MessageNode): Promise<Problem | undefined> {
    return readReceipt(this.#api, answer);
  }

  close(): void {
    this.#host?.close();
    for (const undo of this.#undo) undo();
    this.keys.close();
    for (const one of this.#open) one.close();
    this.drafts.close();
    this.#shared.homes.close();
    this.list.close();
    this.#tabs.close();
  }

  /** Read what the service says of itself, and let the application around know that the page listens. */
  async #meet(): Promise<void> {
    await this.#read("ai/info", this.info, { bare: true });
    const info = this.info.peek();
    if (info) this.#host?.known(info.embedOrigins, info.authRequired);
  }

  #models = () => this.#read("ai/models", this.models);

  async #read<T>(path: string, into: Signal<T | undefined>, options: AskOptions = {}): Promise<void> {
    try {
      into.value = await this.#api.json<T>("GET", path, undefined, options);
      this.#met(path, undefined);
    } catch (error) {
      this.#met(path, troubleOf(error));
    }
  }

  /** Say what is wrong with something that is read, and what else is. */
  #met(path: string, problem: Problem | undefined): void {
    if (problem && !this.#known(problem)) this.#problems.set(path, problem);
    else this.#problems.delete(path);
    this.problem.value = [...this.#problems.values()].at(-1);
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
      const wanted = this.keys.wanted.value !== false;
      const given = before && !wanted;
      before = wanted;
      if (!given) return;
      void this.start();
      for (const one of this.#open) one.retryKey();
    });
  }

  /** What was read in another one's name leaves the page. */
  #onOwner(): () => void {
    return effect(() => {
      if (!this.keys.owner.value) return;
      untracked(() => {
        for (const one of this.#open) one.close();
        this.#open.clear();
        this.list.clear();
        this.search.set("");
        this.storage.value = "unknown";
        this.closed.value++;
        void this.start();
      });
    });
  }

  /** Read the list, beside what is read already. */
  async #anew(...others: Promise<void>[]): Promise<void> {
    this.#returning = true;
    await Promise.all([this.reload(), ...others]);
    this.#returning = false;
    if (!this.problem.peek()) this.#returned = Date.now();
  }

  /** Read anew, and what could not be read before; whatever was tried without a network does not count. */
  async #return(online: boolean): Promise<void> {
    if (!online && (this.#returning || Math.abs(Date.now() - this.#returned) < RETURN)) return;
    await this.#anew(...(this.info.peek() ? [] : [this.#meet()]), ...(this.models.peek() ? [] : [this.#models()]));
    await [...this.#open].at(-1)?.reread();
  }

  async #hear({ event, conversation }: News): Promise<void> {
    if (event === "deleted") this.list.drop(conversation);
    else await this.reload();
    if (event === "list") return;
    // Of one that was deleted this says so.
    for (const one of this.#open) if (one.id.peek() === conversation) await one.reread();
  }
}
