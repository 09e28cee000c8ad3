/** The list of conversations: page by page, renamed, deleted with a way back, and exported. */

import { signal, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { troubleOf, type Api } from "./api.js";
import type { Tabs } from "./tabs.js";
import type { ConversationPage, ConversationView } from "./types.js";

const PAGE = 40;
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
  #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(api: Api, tabs: Tabs) {
    this.#api = api;
    this.#tabs = tabs;
    addEventListener("pagehide", this.#leave);
  }

  get(id: string): ConversationView | undefined {
    return this.conversations.peek().find((one) => one.id === id);
  }

  /** Read the list from its beginning; as much of it as is here. */
  async load(): Promise<void> {
    const limit = Math.min(100, Math.max(PAGE, this.conversations.peek().length));
    await this.#read({ limit }, () => []);
  }

  /** Read the next page. */
  async next(): Promise<void> {
    if (this.#cursor && !this.loading.peek()) await this.#read({ limit: PAGE, cursor: this.#cursor }, () => this.conversations.peek());
  }

  /** Show a conversation that has begun, or goes on, before the service lists it so. */
  touch(id: string, title: string, liveRunId: string | null): void {
    const now = new Date().toISOString();
    const before = this.get(id) ?? { id, title, createdAt: now, updatedAt: now, liveRunId, metadata: null };
    this.#show([{ ...before, liveRunId, updatedAt: now }, ...this.conversations.peek().filter((one) => one.id !== id)]);
  }

  /** The answer of a conversation has ended. */
  settle(id: string): void {
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

  /** It was deleted elsewhere. */
  drop(id: string): void {
    this.conversations.value = this.conversations.peek().filter((one) => one.id !== id);
  }

  /** Return the conversation as a file. Throws a `Trouble`. A link would not carry the key. */
  async exported(id: string, format: "markdown" | "json"): Promise<Blob> {
    const response = await this.#api.ask("GET", `ai/conversations/${id}/export`, undefined, { query: { format } });
    return response.blob();
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

  async #read(query: { limit: number; cursor?: string }, before: () => readonly ConversationView[]): Promise<void> {
    const asked = ++this.#asked;
    this.loading.value = true;
    try {
      const page = await this.#api.json<ConversationPage>("GET", "ai/conversations", undefined, { query });
      if (asked !== this.#asked) return;
      this.#cursor = page.nextCursor;
      this.more.value = page.nextCursor !== null;
      this.problem.value = undefined;
      this.#show([...before(), ...page.conversations]);
    } catch (error) {
      if (asked === this.#asked) this.problem.value = troubleOf(error);
    } finally {
      if (asked === this.#asked) this.loading.value = false;
    }
  }

  #retitle(id: string, title: string): void {
    this.conversations.value = this.conversations.peek().map((one) => (one.id === id ? { ...one, title } : one));
  }

  /** Show conversations once each and in order, without those that are being deleted, and with the titles given here. */
  #show(conversations: readonly ConversationView[]): void {
    const all = new Map<string, ConversationView>();
    for (const one of conversations) {
      const title = this.#titles.get(one.id) ?? one.title;
      if (!all.has(one.id) && !this.#timers.has(one.id)) all.set(one.id, { ...one, title });
    }
    this.conversations.value = [...all.values()].sort((one, other) => Date.parse(other.updatedAt) - Date.parse(one.updatedAt));
  }
}
