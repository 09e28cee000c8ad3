/** The search in all conversations: asked a moment after the last key; a reply that is older than the question is dropped. */

import { signal, type Signal } from "../signal.js";
import type { Problem } from "../turn/index.js";
import { troubleOf, type Api } from "./api.js";
import { debounced } from "./page.js";
import type { ConversationPage, ConversationView, Match } from "./types.js";

const PAUSE = 200;
const PAGE = 30;
const MOST = 200; // characters that the service looks for

export interface Hit {
  readonly conversation: ConversationView;
  /** Where it is; undefined where only the title has it. */
  readonly match: Match | undefined;
}

export interface Found {
  readonly query: string;
  /** Those whose title has the text come first. */
  readonly hits: readonly Hit[];
  readonly more: boolean;
  /** Old messages may be missing. */
  readonly indexing: boolean;
}

export class Search {
  readonly query: Signal<string> = signal("");
  /** Undefined while nothing is searched: the list is as it was. */
  readonly found: Signal<Found | undefined> = signal(undefined);
  readonly busy: Signal<boolean> = signal(false);
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  #api: Api;
  #cursor: string | null = null;
  #asking = new AbortController();
  #ask = debounced(PAUSE, () => void this.#read(null));

  constructor(api: Api) {
    this.#api = api;
  }

  /** Search for a text, or, with an empty one, for nothing any more. */
  set(query: string): void {
    this.query.value = query;
    this.#asking.abort();
    if (query.trim()) {
      this.busy.value = true;
      this.#ask.later();
      return;
    }
    this.#ask.drop();
    this.busy.value = false;
    this.found.value = undefined;
    this.problem.value = undefined;
  }

  /** Search at once. */
  now(): void {
    this.#ask.now();
  }

  async next(): Promise<void> {
    if (this.#cursor && !this.busy.peek()) await this.#read(this.#cursor);
  }

  async #read(cursor: string | null): Promise<void> {
    const { signal } = (this.#asking = new AbortController());
    const q = [...this.query.peek().trim()].slice(0, MOST).join("");
    this.busy.value = true;
    try {
      const page = await this.#api.json<ConversationPage>("GET", "ai/conversations", undefined, { signal, query: { q, limit: PAGE, cursor } });
      if (signal.aborted) return;
      const before = cursor ? (this.found.peek()?.hits ?? []) : [];
      const hits = page.conversations.map((conversation) => ({ conversation, match: page.matches[conversation.id] }));
      this.#cursor = page.nextCursor;
      this.found.value = { query: q, hits: [...before, ...ordered(hits, q)], more: !!page.nextCursor, indexing: page.indexing };
      this.problem.value = undefined;
    } catch (error) {
      if (!signal.aborted) this.problem.value = troubleOf(error);
    } finally {
      if (!signal.aborted) this.busy.value = false;
    }
  }
}

function ordered(hits: Hit[], query: string): Hit[] {
  const titled = ({ conversation }: Hit) => conversation.title.toLowerCase().includes(query.toLowerCase());
  return [...hits.filter(titled), ...hits.filter((hit) => !titled(hit))];
}
