/** The list of conversations: page by page, renamed, deleted with a way back, and exported. */

import { signal, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { troubleOf, type Api } from "./api.js";
import type { Tabs } from "./tabs.js";
import type { ConversationPage, ConversationView } from "./types.js";

const PAGE = 40;
const MOST = 100; // that the service gives at once
const UNDO = 8000;

export interface Deleted {
  readonly conversation: ConversationView;
  /** When it is deleted for good, as epoch milliseconds. */
  readonly until: number;
}

export class List {
  /** Last changed first. */
  readonly conversations: Signal<readonly ConversationView[]> = signal([]);
  readonly loading: Signal<boolean> = signal(false);
  readonly more: Signal<boolean> = signal(false);
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  /** What can be brought back yet. */
  readonly deleted: Signal<readonly Deleted[]> = signal([]);
  #api: Api;
  #tabs: Tabs;
  #cursor: string | null = null;
  #asked = 0;
  #titles = new Map<string, string>(); // given here, and not stored yet
  #known = new Map<string, ConversationView>(); // read by themselves: they may be further back than the list is here
  #touched = new Map<string, number>(); // after which read something became of one here
  #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(api: Api, tabs: Tabs) {
    this.#api = api;
    this.#tabs = tabs;
    addEventListener("pagehide", this.#leave);
  }

  get(id: string): ConversationView | undefined {
    return this.conversations.peek().find((one) => one.id === id);
  }

  /** Read the list from its beginning, as far back as it is here unless much is new: what was deleted elsewhere is not in it any more. */
  async load(): Promise<void> {
    const here = this.conversations.peek().filter(({ id }) => !this.#known.has(id));
    const end = Math.min(...here.map(({ updatedAt }) => Date.parse(updatedAt)));
    const limit = Math.min(MOST, Math.max(PAGE, here.length));
    await this.#read({ limit, cursor: null }, () => [], { end, most: here.length + MOST });
  }

  /** Read the next page. */
  async next(): Promise<void> {
    if (!this.#cursor || this.loading.peek()) return;
    await this.#read({ limit: PAGE, cursor: this.#cursor }, () => this.conversations.peek());
  }

  /** Show a conversation that was read by itself, wherever the list stands. */
  know(conversation: ConversationView): void {
    this.#known.set(conversation.id, conversation);
    this.#touched.set(conversation.id, this.#asked);
    this.#show([...this.conversations.peek(), conversation]);
  }

  /** What is kept with a conversation has been stored. */
  keep({ id, metadata }: ConversationView): void {
    this.#touched.set(id, this.#asked);
    this.#show(this.conversations.peek().map((one) => (one.id === id ? { ...one, metadata } : one)));
  }

  /** Show a conversation that has begun, or goes on, before the service lists it so. */
  touch(id: string, title: string, liveRunId: string | null): void {
    const now = new Date().toISOString();
    const before = this.get(id) ?? { id, title, createdAt: now, updatedAt: now, liveRunId, metadata: null };
    this.#touched.set(id, this.#asked);
    this.#show([{ ...before, title: before.title || title, liveRunId, updatedAt: now }, ...this.conversations.peek().filter((one) => one.id !== id)]);
  }

  /** The answer of a conversation has ended. */
  settle(id: string): void {
    this.#touched.set(id, this.#asked);
    this.#show(this.conversations.peek().map((one) => (one.id === id ? { ...one, liveRunId: null } : one)));
  }

  /** Give a title. It is shown at once; where it cannot be stored, the old one comes back. */
  async rename(id: string, title: string): Promise<void> {
    const before = this.get(id)?.title ?? "";
    this.#titles.set(id, title);
    this.#retitle(id, title);
    try {
      await this.#api.json("PATCH", `ai/conversations/${id}`, { title });
      this.#tabs.tell("list", id);
    } catch (error) {
      if (this.#titles.get(id) === title) this.#retitle(id, before);
      this.problem.value = troubleOf(error);
    } finally {
      if (this.#titles.get(id) === title) this.#titles.delete(id);
    }
  }

  /** Delete a conversation: it is gone from the list at once, and can be brought back for eight seconds. */
  remove(id: string): void {
    const conversation = this.get(id);
    if (!conversation || this.#timers.has(id)) return;
    this.deleted.value = [...this.deleted.peek(), { conversation, until: Date.now() + UNDO }];
    this.#timers.set(id, setTimeout(() => void this.#remove(id), UNDO));
    this.#show(this.conversations.peek());
  }

  undo(id: string): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.#restore(id);
  }

  /** Forget everything, also what is being read and what was to be deleted: it was somebody else's. */
  clear(): void {
    this.#asked++;
    this.#cursor = null;
    this.#timers.forEach(clearTimeout);
    for (const kept of [this.#timers, this.#titles, this.#known, this.#touched]) kept.clear();
    this.conversations.value = [];
    this.deleted.value = [];
    this.more.value = false;
    this.loading.value = false;
    this.problem.value = undefined;
  }

  /** It was deleted elsewhere. */
  drop(id: string): void {
    this.#known.delete(id);
    this.conversations.value = this.conversations.peek().filter((one) => one.id !== id);
  }

  /** Return the conversation as a file. Throws a `Trouble`. A link would not carry the key. */
  async exported(id: string, format: "markdown" | "json"): Promise<Blob> {
    try {
      const response = await this.#api.ask("GET", `ai/conversations/${id}/export`, undefined, { query: { format } });
      return await response.blob();
    } catch (error) {
      this.problem.value = troubleOf(error);
      throw error;
    }
  }

  close(): void {
    this.#leave();
    removeEventListener("pagehide", this.#leave);
  }

  #leave = () => [...this.#timers.keys()].forEach((id) => void this.#remove(id));

  async #remove(id: string): Promise<void> {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    // Both are sent at once: of a page that is left nothing is sent later.
    this.#stop(this.deleted.peek().find(({ conversation }) => conversation.id === id)?.conversation.liveRunId);
    try {
      await this.#api.json("DELETE", `ai/conversations/${id}`, undefined, { keepalive: true });
    } catch (error) {
      const problem = troubleOf(error);
      if (problem.kind !== "gone") {
        this.problem.value = problem;
        return this.#restore(id);
      }
    }
    this.deleted.value = this.deleted.peek().filter(({ conversation }) => conversation.id !== id);
    this.drop(id);
    this.#tabs.tell("deleted", id);
  }

  /** An answer that nobody can read any more is not to cost anything. */
  #stop(runId: string | null | undefined): void {
    if (runId) this.#api.json("POST", `ai/runs/${runId}/stop`, undefined, { keepalive: true }).catch(() => {});
  }

  #restore(id: string): void {
    const one = this.deleted.peek().find(({ conversation }) => conversation.id === id)?.conversation;
    this.deleted.value = this.deleted.peek().filter(({ conversation }) => conversation.id !== id);
    if (one && !this.get(id)) this.#show([...this.conversations.peek(), one]);
  }

  /** Read pages from `cursor` on, back to the time `end` but not many more than `most`; `kept` says what is shown before them. */
  async #read(query: { limit: number; cursor: string | null }, kept: () => readonly ConversationView[], { end, most } = { end: Infinity, most: 0 }): Promise<void> {
    const asked = ++this.#asked;
    const found: ConversationView[] = [];
    let { cursor } = query;
    this.loading.value = true;
    try {
      do {
        const page = await this.#api.json<ConversationPage>("GET", "ai/conversations", undefined, { query: { ...query, cursor } });
        if (asked !== this.#asked) return;
        found.push(...page.conversations);
        cursor = page.nextCursor;
      } while (cursor !== null && last(found) > end && found.length < most);
      this.#cursor = cursor;
      this.more.value = cursor !== null;
      this.problem.value = undefined;
      // What the service said before that is old.
      const mine = this.conversations.peek().filter(({ id }) => (this.#touched.get(id) ?? -1) >= asked);
      if (query.cursor === null) this.#forget(found, cursor === null ? -Infinity : last(found), asked);
      this.#show([...mine, ...kept(), ...found, ...this.#known.values()]);
    } catch (error) {
      if (asked === this.#asked) this.problem.value = troubleOf(error);
    } finally {
      if (asked === this.#asked) this.loading.value = false;
    }
  }

  /** Forget what was read by itself and is not in a list that was read back to its time: it was deleted elsewhere. */
  #forget(found: readonly ConversationView[], end: number, asked: number): void {
    const listed = new Set(found.map(({ id }) => id));
    for (const { id, updatedAt } of [...this.#known.values()])
      if (!listed.has(id) && Date.parse(updatedAt) > end && (this.#touched.get(id) ?? -1) < asked) this.#known.delete(id);
  }

  #retitle(id: string, title: string): void {
    const known = this.#known.get(id);
    if (known) this.#known.set(id, { ...known, title });
    this.conversations.value = this.conversations.peek().map((one) => (one.id === id ? { ...one, title } : one));
  }

  /** Show conversations once each and in order, without those that are being deleted, and with the titles given here. */
  #show(conversations: readonly ConversationView[]): void {
    const all = new Map<string, ConversationView>();
    for (const one of conversations) {
      const title = this.#titles.get(one.id) ?? one.title;
      if (!all.has(one.id) && !this.#timers.has(one.id)) all.set(one.id, { ...one, title });
    }
    for (const id of this.#known.keys()) if (all.has(id)) this.#known.set(id, all.get(id)!);
    this.conversations.value = [...all.values()].sort((one, other) => Date.parse(other.updatedAt) - Date.parse(one.updatedAt));
  }
}

/** Return when the last one of a page was changed. */
const last = (page: readonly ConversationView[]): number => Date.parse(page.at(-1)?.updatedAt ?? "");
