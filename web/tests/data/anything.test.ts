/** Whatever a person and a network do to a conversation, in any order: no question is lost or asked twice, no text doubled. */

import { expect, it } from "vitest";

import { Drafts } from "../../src/data/drafts.js";
import { Store } from "../../src/data/store.js";
import type { Conversation } from "../../src/data/index.js";
import { plain } from "../../src/data/types.js";
import { live, over, textOf } from "../../src/turn/index.js";
import { chance } from "../support/chance.js";
import type { FakeRun } from "../support/service.js";
import { Talk, settle } from "../support/talk.js";

const ended = (run: FakeRun) => /^(end|error)$/.test(run.events.at(-1)!.type);

class Person {
  readonly talk = new Talk();
  readonly asked: string[] = [];
  readonly stopped = new Set<string>();
  one!: Conversation;
  box = "";
  #away = false;
  #count = 0;

  /** The page's box: what is sent leaves it, and what comes back is in it. */
  #read(): void {
    this.box = this.one.box.peek()?.text ?? this.box;
    this.one.box.value = undefined;
  }

  async begin(): Promise<void> {
    this.talk.service.before = ({ path }) => (this.#away && path !== "" ? Promise.reject(new TypeError("Failed to fetch")) : undefined);
    this.one = await this.talk.open();
  }

  readonly acts: Record<string, () => unknown> = {
    ask: () => {
      const text = `q${++this.#count};`;
      this.asked.push(text);
      // What came back to the box goes along.
      const whole = this.box + text;
      this.box = "";
      this.one.ask(whole);
      this.talk.opened.at(-1)!.drafts.taken(this.one.place);
    },
    say: () => this.#run()?.say(`${++this.#count},`),
    say2: () => this.#run()?.say(`${++this.#count},`, `${++this.#count},`),
    end: () => this.#run()?.end(),
    fail: () => this.#run()?.send({ type: "error", error: "", message: "", code: "upstream_error", retryable: true }),
    stop: () => {
      this.#stops();
      void this.one.stop();
    },
    now: () => {
      const waiting = this.one.queue.entries.peek().at(-1);
      if (waiting) this.#stops();
      void this.one.sendNow(waiting?.id ?? "");
    },
    again: () => this.#answer((node) => this.one.regenerate(node)),
    retry: () => this.#answer((node) => this.one.retry(node)),
    left: () => this.#answer((node) => this.one.turnTo(node, -1)),
    cut: () => this.#run()?.cut(),
    away: () => (this.#away = true),
    deaf: () => {
      this.talk.service.late = Promise.reject(new TypeError("Failed to fetch"));
      this.talk.service.late.catch(() => {});
    },
    back: () => this.#back(),
    wait: () => settle(5000),
    reread: () => this.one.reread(),
    reload: async () => {
      if (!this.one.id.peek() || this.#away) return;
      const id = this.one.id.peek();
      this.#read();
      this.one = await this.talk.reload(id);
    },
  };

  async act(name: string): Promise<void> {
    await this.acts[name]!();
    await settle();
    this.#read();
  }

  /** Everything is well again. */
  async rest(): Promise<void> {
    this.#back();
    for (let round = 0; round < 40 && this.one.live.peek(); round++) {
      await settle(5000);
      this.#run()?.end();
    }
    await settle(1000);
    this.#read();
  }

  /** What the person stops, the person knows of. */
  #stops(): void {
    const question = this.one.steps.peek().find(({ answer }) => answer && answer === this.one.live.peek())?.question;
    for (const text of question?.text.match(/q\d+;/g) ?? []) this.stopped.add(text);
  }

  #back(): void {
    this.#away = false;
    this.talk.service.late = undefined;
  }

  #run(): FakeRun | undefined {
    return this.talk.service.runs.findLast((run) => !ended(run));
  }

  #answer(act: (node: NonNullable<Conversation["steps"]["value"][number]["answer"]>) => void): void {
    const node = this.one.steps.peek().at(-1)?.answer;
    if (node && !live(node.turn!.peek().state)) act(node);
  }
}

function check(person: Person, how: string): void {
  const { one, talk, asked } = person;
  const sent = talk.service.runs.filter(({ body }) => body.message).map(({ body }) => body.message as string);
  for (const text of asked) {
    // What was stopped without a word is in the box again, and may be asked again.
    if (!person.stopped.has(text)) expect(sent.filter((one) => one.includes(text)).length, `${text} once: ${how}`).toBeLessThanOrEqual(1);
  }
  const drafts = new Drafts(new Store(() => talk.local), new Store(() => talk.session));
  const kept = [
    ...sent,
    ...one.queue.entries.peek().map(({ content }) => plain(content)),
    person.box, drafts.get(one.place), ...drafts.pending(one.place).map(({ text }) => text),
    ...one.steps.peek().map(({ question }) => question?.text ?? ""),
  ].join(" ");
  for (const text of asked) if (!person.stopped.has(text)) expect(kept, `${text} is somewhere: ${how}`).toContain(text);
  const texts = new Map([...talk.service.messages.values()].flat().map(({ id, content }) => [id, String(content)]));
  for (const { answer } of one.steps.peek()) {
    if (!answer?.stored) continue;
    const turn = answer.turn!.peek();
    expect(over(turn.state), `${turn.state} is an end: ${how}`).toBe(true);
    expect(texts.get(answer.id)!.startsWith(textOf(turn)), `${textOf(turn)} of ${texts.get(answer.id)}: ${how}`).toBe(true);
    if (turn.state === "complete") expect(textOf(turn)).toBe(texts.get(answer.id));
  }
}

it.each(Array.from({ length: 120 }, (_, seed) => seed))("holds in order %i", async (seed) => {
  const pick = chance(seed);
  const person = new Person();
  await person.begin();
  const names = Object.keys(person.acts);
  const done: string[] = [];
  try {
    for (let count = 0; count < 25; count++) {
      const name = pick([...names, "ask", "say", "say", "end", "back", "deaf", "wait", "retry"]);
      done.push(name);
      await person.act(name);
    }
    await person.rest();
    check(person, done.join(" "));
  } finally {
    person.talk.end();
  }
});

