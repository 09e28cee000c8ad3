/** What the tabs of the page tell each other: who hears of a change reads it anew. Nothing but ids is said. */

export interface News {
  /** `list`: a title, an order. `messages`: a question, an answer's end, a vote. `run`: an answer that is on its way. */
  event: "list" | "messages" | "run" | "deleted";
  conversation: string;
}

export class Tabs {
  #channel: BroadcastChannel | undefined;
  #listeners = new Set<(news: News) => void>();

  constructor(name: string) {
    try {
      this.#channel = new BroadcastChannel(`stream-serve.chat ${name}`);
    } catch {
      return; // there is none, or not for a page that may keep nothing
    }
    this.#channel.onmessage = ({ data }) => this.#listeners.forEach((listener) => listener(data));
  }

  /** Whether tabs can talk to each other. */
  get possible(): boolean {
    return this.#channel !== undefined;
  }

  tell(event: News["event"], conversation: string): void {
    this.#channel?.postMessage({ event, conversation } satisfies News);
  }

  listen(listener: (news: News) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#channel?.close();
    this.#channel = undefined; // what is still under way may tell of its end
    this.#listeners.clear();
  }
}
