/** Conversations against a service in memory, in tabs that share what the browser keeps. */

import { vi } from "vitest";

import { Data, type Conversation, type DataOptions, type MessageNode } from "../../src/data/index.js";
import { textOf, type Turn } from "../../src/turn/index.js";
import { FakeService, storage } from "./service.js";

export class Talk {
  readonly service = new FakeService();
  readonly opened: Data[] = [];
  local = storage();
  session = storage();

  constructor() {
    vi.useFakeTimers();
  }

  end(): void {
    this.leave();
    vi.useRealTimers();
  }

  /** Return a page; the test tells it nothing of its frames. */
  page(more: DataOptions = {}): Data {
    const { service, local, session } = this;
    const data = new Data({ base: "http://test/", fetch: service.fetch, share: false, local: () => local, session: () => session, ...more });
    this.opened.push(data);
    return data;
  }

  async open(id?: string, data = this.page()): Promise<Conversation> {
    const one = data.open(id);
    await settle();
    return one;
  }

  /** Ask, and let the answer be complete. */
  async exchange(one: Conversation, question: string, answer: string): Promise<void> {
    one.ask(question);
    await settle();
    this.service.run.say(answer);
    this.service.run.end();
    await settle();
  }

  /** Leave all pages, and come back. */
  async reload(id?: string): Promise<Conversation> {
    dispatchEvent(new Event("pagehide"));
    this.leave();
    return this.open(id);
  }

  leave(): void {
    for (const data of this.opened.splice(0)) data.close();
  }
}

/** Let everything happen that is due. */
export async function settle(ms = 0): Promise<void> {
  for (let round = 0; round < 5; round++) await vi.advanceTimersByTimeAsync(round ? 0 : ms);
}

/** What a conversation shows: questions and answers on the chosen way. */
export const shown = (one: Conversation): string[] =>
  one.steps.peek().flatMap(({ question, answer }) => [...(question ? [question.text] : []), ...(answer ? [textOf(answer.turn!.peek())] : [])]);

export const last = (one: Conversation): MessageNode => one.steps.peek().at(-1)!.answer!;

export const turn = (one: Conversation): Turn => last(one).turn!.peek();

export const places = (one: Conversation): string[] =>
  one.steps.peek().map(({ questions, answers }) => [questions, answers].map(({ at, of }) => `${at}/${of}`).join(" "));
