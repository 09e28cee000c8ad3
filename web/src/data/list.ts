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

  /** Read the list from its beginning; what is here of it further back stays. */
  async load(): Promise<void> {
    const limit = Math.min(MOST, Math.max(PAGE, this.conversations.peek().length));
    await this.#read({ limit }, (page) => this.#behind(page));
  }

  /** Read the next page. */
  async next(): Promise<void> {
    if (!this.#cursor || this.loading.peek()) return;
    await this.#read({ limit: PAGE, cursor: this.#cursor }, (page) => {
      this.#cursor = page.nextCursor;
      return this.conversations.peek();
    });
  }

  /** Show a conversation that was read by itself, wherever the list stands. */
  know(conversation: ConversationView): void {
    this.#known.set(conversation.id, conversation);
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

  /** Return the address of that file, for a service that wants no key. */
  exportLink(id: string, format: "markdown" | "json"): string {
    return this.#api.address(`ai/conversations/${id}/export`, { format });
  }

  close(): void {
    this.#leave();
    removeEventListener("pagehide", this.#leave);
  }

  #leave = () => [...this.#timers.keys()].forEach((id) => void this.#remove(id));

  async #remove(id: string): Promise<void> {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    try {
      await this.#api.json("DELETE", `ai/conversations/${id}`, undefined, { keepalive: true });
    } catch (error) {
      const problem = troubleOf(error);
      if (problem.kind !== "gone") {
        this.problem.value = problem;
        return this.#restore(id);
      }
    }
    this.#stop(this.deleted.peek().find(({ conversation }) => conversation.id === id)?.conversation.liveRunId);
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

  /**
   * Return what is here behind a first page, and let the reading stand behind that. Where the page has nothing unchanged of
   * what is here, there may be others in between: then the reading begins anew.
   */
  #behind({ conversations, nextCursor }: ConversationPage): readonly ConversationView[] {
    const here = this.conversations.peek().filter(({ id }) => !this.#known.has(id));
    const times = new Map(here.map(({ id, updatedAt }) => [id, updatedAt]));
    const joins = nextCursor !== null && conversations.some(({ id, updatedAt }) => times.get(id) === updatedAt);
    const end = conversations.at(-1)?.updatedAt ?? "";
    const behind = joins ? here.filter(({ updatedAt }) => Date.parse(updatedAt) < Date.parse(end)) : [];
    if (!behind.length) this.#cursor = nextCursor;
    return behind;
  }

  /** Read a page; `kept` says what is shown besides, and where the reading stands then. */
  async #read(query: { limit: number; cursor?: string }, kept: (page: ConversationPage) => readonly ConversationView[]): Promise<void> {
    const asked = ++this.#asked;
    this.loading.value = true;
    try {
      const page = await this.#api.json<ConversationPage>("GET", "ai/conversations", undefined, { query });
      if (asked !== this.#asked) return;
      const others = kept(page);
      this.more.value = this.#cursor !== null;
      this.problem.value = undefined;
      // What the service said before that is old.
      const mine = this.conversations.peek().filter(({ id }) => (this.#touched.get(id) ?? -1) >= asked);
      this.#show([...mine, ...others, ...page.conversations, ...this.#known.values()]);
    } catch (error) {
      if (asked === this.#asked) this.problem.value = troubleOf(error);
    } finally {
      if (asked === this.#asked) this.loading.value = false;
    }
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
