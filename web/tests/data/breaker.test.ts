/** Whatever three tabs of one browser do to a conversation, in any order: each question is asked once and in its turn, and none is lost. */

import { expect, it, vi } from "vitest";

import type { Conversation, Data } from "../../src/data/index.js";
import { plain } from "../../src/data/types.js";
import { live } from "../../src/turn/index.js";
import { chance } from "../support/chance.js";
import { copied, storage, type FakeRun } from "../support/service.js";
import { settle, Talk } from "../support/talk.js";

const ended = (run: FakeRun) => /^(end|error)$/.test(run.events.at(-1)!.type);

class Tab {
  session = storage();
  deaf = false;
  data!: Data;
  one!: Conversation;

  constructor(readonly talk: Talk) {}

  async open(id: string | undefined): Promise<void> {
    const { fetch } = this.talk.service;
    this.data = this.talk.page({
      session: () => this.session,
      fetch: (...of) => (this.deaf ? Promise.reject(new TypeError("Failed to fetch")) : fetch(...of)),
    });
    this.one = await this.talk.open(id, this.data);
  }

  get box(): string {
    return this.data.drafts.get(this.one.place);
  }
}

class Browser {
  readonly talk = new Talk();
  readonly asked: string[] = [];
  readonly tabs: Tab[] = [];
  id = "";
  /** What was asked before the answer that it waits behind was over. */
  readonly early: string[] = [];
  #behind = new Map<string, string>(); // runs, by the id of what waits behind them
  #count = 0;

  async begin(): Promise<void> {
    this.#watch();
    for (let at = 0; at < 3; at++) this.tabs.push(new Tab(this.talk));
    await this.tabs[0]!.open(undefined);
    this.tabs[0]!.one.ask("begin");
    await settle();
    this.id = this.tabs[0]!.one.id.peek()!;
    for (const tab of this.tabs.slice(1)) await tab.open(this.id);
  }

  readonly acts: Record<string, (tab: Tab) => unknown> = {
    ask: (tab) => {
      const text = `q${++this.#count};`;
      this.asked.push(text);
      tab.one.ask(text);
    },
    say: () => this.run?.say(`${++this.#count},`),
    end: () => this.run?.end(),
    fail: () => this.run?.send({ type: "error", error: "", message: "", code: "upstream_error", retryable: true }),
    cut: () => this.run?.cut(),
    deaf: (tab) => {
      tab.deaf = true;
      this.run?.cut();
    },
    hears: (tab) => (tab.deaf = false),
    wait: () => settle(3000),
    reread: (tab) => tab.one.reread(),
    retry: (tab) => {
      const node = tab.one.steps.peek().at(-1)?.answer;
      if (node && !live(node.turn!.peek().state)) tab.one.retry(node);
    },
    now: (tab) => {
      const id = tab.one.queue.entries.peek().at(-1)?.id ?? "";
      this.#behind.set(id, "");
      void tab.one.sendNow(id);
    },
    stop: (tab) => void tab.one.stop(),
    // The page is left, or killed, and opened again.
    reload: async (tab) => {
      if (tab.deaf) return;
      dispatchEvent(new Event("pagehide"));
      tab.data.close();
      await tab.open(this.id);
    },
    duplicate: async (tab) => {
      const other = this.tabs.find((one) => one !== tab)!;
      other.data.close();
      other.session = copied(tab.session);
      other.deaf = false;
      await other.open(this.id);
    },
    back: () => vi.setSystemTime(Date.now() - 3_600_000),
  };

  async act(name: string, tab: Tab): Promise<void> {
    await this.acts[name]!(tab);
    dispatchEvent(new Event("storage"));
    await settle(500);
    dispatchEvent(new Event("storage"));
    await settle(500);
  }

  async rest(): Promise<void> {
    for (const tab of this.tabs) tab.deaf = false;
    for (let round = 0; round < 60; round++) {
      await settle(5000);
      for (const tab of this.tabs) await tab.one.reread();
      dispatchEvent(new Event("storage"));
      await settle();
      if (!this.run) break;
      this.run.say("x");
      this.run.end();
    }
    await settle(1000);
  }

  /** Note what waits behind what, and what is asked. */
  #watch(): void {
    const { service, local } = this.talk;
    const { setItem } = local;
    local.setItem = (name, text) => {
      setItem(name, text);
      if (!name.includes("queue.")) return;
      let { behind, entries } = JSON.parse(text) as { behind: string; entries: { id: string }[] };
      for (const { id } of entries) {
        if (this.#behind.get(id) !== "") this.#behind.set(id, behind);
        behind = id;
      }
    };
    const { fetch } = service;
    Object.assign(service, {
      fetch: (input: RequestInfo | URL, init: RequestInit = {}) => {
        const id = new Headers(init.headers).get("Idempotency-Key") ?? "";
        const before = service.runs.find((run) => run.id === this.#behind.get(id));
        if (before && !ended(before)) this.early.push(String(init.body));
        return fetch(input, init);
      },
    });
  }

  get run(): FakeRun | undefined {
    return this.talk.service.runs.findLast((run) => !ended(run));
  }
}

function check({ talk, tabs, asked, early }: Browser, how: string): void {
  expect(early, `nothing is early: ${how}`).toEqual([]);
  const sent = talk.service.runs.filter(({ body }) => body.message).map(({ body }) => String(body.message));
  for (const text of asked) expect(sent.filter((one) => one.includes(text)).length, `${text} once: ${how}\n${sent.join(" ")}`).toBeLessThanOrEqual(1);
  const kept = [
    ...sent,
    ...tabs.flatMap(({ one, box }) => [box, one.box.peek()?.text ?? "", ...one.queue.entries.peek().map(({ content }) => plain(content)), ...one.steps.peek().map(({ question }) => question?.text ?? "")]),
    ...Array.from({ length: talk.local.length }, (_, at) => talk.local.getItem(talk.local.key(at)!)!),
  ].join(" ");
  for (const text of asked) expect(kept, `${text} is somewhere: ${how}`).toContain(text);
}

it.each(Array.from({ length: 80 }, (_, seed) => seed))("holds in order %i", async (seed) => {
  const pick = chance(seed);
  const browser = new Browser();
  await browser.begin();
  const done: string[] = [];
  try {
    const names = Object.keys(browser.acts);
    for (let count = 0; count < 25; count++) {
      const name = pick([...names, "ask", "ask", "ask", "say", "end", "end", "hears"]);
      const at = pick([0, 1, 2]);
      done.push(`${name}${at}`);
      await browser.act(name, browser.tabs[at]!);
    }
    await browser.rest();
    check(browser, done.join(" "));
  } finally {
    browser.talk.end();
  }
});
