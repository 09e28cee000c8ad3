/** The messages of a conversation as the service gives them: the newest page first, and older ones when they are wanted. */

import { signal, type Signal } from "../signal.js";
import type { Api } from "./api.js";
import type { List } from "./list.js";
import type { ConversationDetail, Message, MessagesPage, Metadata } from "./types.js";

const PAGE = 60;

export class Pages {
  /** Whether the service has older messages than were read. */
  readonly more: Signal<boolean> = signal(false);
  #api: Api;
  #list: List;
  #cursor: string | null = null;

  constructor(api: Api, list: List) {
    this.#api = api;
    this.#list = list;
  }

  /** Return the newest messages, the newest first; older ones are then read from there on. */
  async first(id: string): Promise<Message[]> {
    return this.#turned(await this.#page(id));
  }

  /** Return the newest messages, wherever the reading stands. */
  async newest(id: string): Promise<Message[]> {
    return (await this.#page(id)).messages;
  }

  /** Return the next older messages, the newest first. */
  async older(id: string): Promise<Message[]> {
    return this.#cursor === null ? [] : this.#turned(await this.#page(id, this.#cursor));
  }

  /** Return what is kept with the conversation; what the list has of it may be older than what is `fresh`. */
  async metadata(id: string, { fresh = false } = {}): Promise<Metadata> {
    const listed = this.#list.get(id);
    if (listed && !fresh) return listed.metadata ?? {};
    const path = `ai/conversations/${id}`;
    const { conversation } = await this.#api.json<ConversationDetail>("GET", path, undefined, { query: { messages: 0 } });
    if (listed) this.#list.keep(conversation);
    else this.#list.know(conversation);
    return conversation.metadata ?? {};
  }

  #turned({ messages, nextCursor }: MessagesPage): Message[] {
    this.#cursor = nextCursor;
    this.more.value = nextCursor !== null;
    return messages;
  }

  #page(id: string, after?: string): Promise<MessagesPage> {
    const query = { order: "newest", limit: PAGE, after };
    return this.#api.json<MessagesPage>("GET", `ai/conversations/${id}/messages`, undefined, { query });
  }
}
