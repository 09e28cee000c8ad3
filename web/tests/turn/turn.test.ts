/** A turn: every way of the table, and none beside it. */

import { describe, expect, it } from "vitest";

import type { Event, Receipt } from "../../../clients/js/src/index.js";
import { MOVES, STATES, TABLE, live, next, over, type State } from "../../src/turn/states.js";
import { draft, reasoningOf, restored, step, textOf, type Turn, type TurnEvent } from "../../src/turn/turn.js";
import { chance } from "../support/chance.js";

const usage = { promptTokens: 1, completionTokens: 2, totalTokens: 3, source: "provider" } as const;
const receipt: Receipt = { runId: "r", outcome: "stopped", upstreamClosed: true, latencyMs: 12, finishReason: "stopped", usage };
const problem = { kind: "busy", code: "full", message: "", retryable: true } as const;

const event = (number: number, event: Event): TurnEvent => ({ type: "event", event, number });
const start = event(1, { type: "start", runId: "r", model: "m", conversationId: "c", userMessageId: "q", messageId: "a" });
const chunk = (number: number, content: string) => event(number, { type: "chunk", content });
const end = (number: number, finishReason: string) => event(number, { type: "end", finishReason, endedAt: 1, usage });
const run = (turn: Turn, ...events: TurnEvent[]) => events.reduce((now, what, index) => step(now, what, index * 1000), turn);
const send: TurnEvent = { type: "send", runId: "r" };

describe("the table", () => {
  it("leaves no end", () => {
    for (const state of STATES.filter(over)) {
      for (const move of MOVES) expect([undefined, state]).toContain(next(state, move, "answering"));
    }
  });

  it("reaches every state, and from each that is live an end", () => {
    const reached = new Set<State>(["draft"]);
    for (const state of reached) for (const to of Object.values(TABLE[state])) if (to !== "phase") reached.add(to);
    expect([...reached].sort()).toEqual([...STATES].sort());
    for (const state of STATES.filter(live)) expect(Object.values(TABLE[state]).some((to) => to !== "phase" && over(to))).toBe(true);
  });

  it("lets every live state be stopped, but one that stops", () => {
    for (const state of STATES.filter(live)) if (state !== "stopping") expect(TABLE[state].stop).toMatch(/^stopping/);
  });
});

describe("an answer", () => {
  it("is sent, begins, thinks, is written and is complete", () => {
    const states: State[] = [];
    let turn = draft();
    for (const what of [send, start, event(2, { type: "reasoning", content: "Hm" }), chunk(3, "Hel"), chunk(4, "lo"), end(5, "stop")]) {
      turn = step(turn, what, 0);
      states.push(turn.state);
    }
    expect(states).toEqual(["sending", "starting", "thinking", "answering", "answering", "complete"]);
    expect(turn).toMatchObject({ text: "Hello", reasoning: "Hm", conversationId: "c", questionId: "q", answerId: "a", cursor: 5, usage });
  });

  it("takes an event once, whatever brings it", () => {
    expect(run(draft(), send, start, chunk(2, "a"), chunk(2, "a"), start, chunk(3, "b"), chunk(2, "a")).text).toBe("ab");
  });

  it("keeps tools and sources", () => {
    const turn = run(draft(), send, start,
      event(2, { type: "tool_call", index: 0, id: "t", name: "look" }),
      event(3, { type: "tool_arguments", index: 0, content: '{"a"' }),
      event(4, { type: "tool_arguments", index: 0, content: ":1}" }),
      event(5, { type: "source", url: "https://example.test" }));
    expect(turn.tools).toEqual([{ id: "t", name: "look", arguments: '{"a":1}' }]);
    expect(turn.sources).toEqual([{ url: "https://example.test", title: undefined }]);
  });

  it("goes on where it was after a cut", () => {
    const states: State[] = [];
    let turn = run(draft(), send, start, chunk(2, "a"));
    for (const type of ["lost", "connected"] as const) states.push((turn = step(turn, { type }, 0)).state);
    turn = step(turn, chunk(3, "b"), 0);
    states.push(turn.state, (turn = step(turn, { type: "caught-up" }, 0)).state);
    expect(states).toEqual(["offline", "catching-up", "catching-up", "answering"]);
    expect(turn.text).toBe("ab");
  });

  it("fails where the service refuses it, and keeps why", () => {
    expect(run(draft(), send, { type: "refused", problem })).toMatchObject({ state: "failed", phase: "sending", problem });
  });
});

describe("a stop", () => {
  it("is there before the start", () => {
    expect(run(draft(), send, { type: "stop" }, { type: "stopped-before-start" }).state).toBe("stopped");
  });

  it("keeps what comes until its mark, and nothing after it", () => {
    const stopping = run(draft(), send, start, chunk(2, "a"), { type: "stop" }, chunk(3, "b"));
    expect(stopping).toMatchObject({ state: "stopping", text: "ab" });
    const marked = run(stopping, end(4, "stopped"), { type: "receipt", receipt }, chunk(5, "c"), chunk(0, "d"), end(6, "stop"));
    expect(marked).toMatchObject({ state: "stopped", text: "ab", receipt, finishReason: "stopped" });
  });

  it("says when it is not confirmed, and when it is", () => {
    const offline = run(draft(), send, start, { type: "lost" }, { type: "stop" });
    expect(offline.state).toBe("stopping-unconfirmed");
    expect(step(offline, { type: "receipt", receipt }, 0).state).toBe("stopped");
    expect(run(draft(), send, start, { type: "stop" }, { type: "lost" }).state).toBe("stopping-unconfirmed");
  });

  it("of an answer that was complete already leaves it complete", () => {
    expect(run(draft(), send, start, { type: "stop" }, end(2, "stop")).state).toBe("complete");
  });
});

describe("the storage", () => {
  it("is shown at once, until the events have more", () => {
    const stored = { status: "generating", text: "Hello", reasoning: "Hm" } as const;
    let turn = restored(stored, { runId: "r" }, 0);
    expect([turn.state, textOf(turn), reasoningOf(turn)]).toEqual(["catching-up", "Hello", "Hm"]);
    turn = run(turn, start, event(2, { type: "reasoning", content: "H" }), chunk(3, "Hell"));
    expect([textOf(turn), reasoningOf(turn)]).toEqual(["Hello", "Hm"]);
    turn = run(turn, event(4, { type: "reasoning", content: "mm" }), chunk(5, "o you"), { type: "caught-up" });
    expect([turn.state, textOf(turn), reasoningOf(turn)]).toEqual(["answering", "Hello you", "Hmm"]);
  });

  it("says how an answer ended whose run is gone; the longer text is the answer", () => {
    const turn = run(draft(), send, start, chunk(2, "Hello"));
    const reread = (text: string, status: "interrupted" | "complete") =>
      step(turn, { type: "stored", stored: { status, text, reasoning: "" } }, 0);
    expect(reread("Hel", "interrupted")).toMatchObject({ state: "cut", text: "Hello" });
    expect(reread("Hello you", "complete")).toMatchObject({ state: "complete", text: "Hello you" });
  });

  it("changes nothing of a turn that is over", () => {
    const turn = run(draft(), send, start, chunk(2, "a"), { type: "stop" }, { type: "receipt", receipt });
    expect(step(turn, { type: "stored", stored: { status: "stopped", text: "abc", reasoning: "" } }, 0)).toBe(turn);
  });
});

it("holds in any order of anything", () => {
  const TEXT = "abcdefghij";
  for (let seed = 0; seed < 3000; seed++) {
    const pick = chance(seed);
    // A run sends its events in order; connections repeat some of them, and everything else comes at any time.
    const log: TurnEvent[] = [start, ...[...TEXT].map((letter, at) => chunk(at + 2, letter)), end(12, pick(["stop", "stopped", "length"]))];
    let sent = 0;
    let turn = pick([draft(), restored({ status: "generating", text: TEXT.slice(0, seed % 10), reasoning: "" }, { runId: "r" }, 0)]);
    for (let round = 0; round < 60; round++) {
      // No run is read before it is asked for.
      const what = !live(turn.state) && !over(turn.state) ? send : pick<() => TurnEvent>([
        () => log[Math.min(sent++, log.length - 1)]!,
        () => log[Math.min(sent++, log.length - 1)]!,
        () => log[Math.min(sent++, log.length - 1)]!,
        () => ((sent = Math.min(sent, turn.cursor, log.length - 1)), log[Math.max(0, sent - pick([0, 1, 3]))]!),
        () => send,
        () => ({ type: pick(["stop", "slow", "lost", "connected", "caught-up", "gone", "unconfirmed"] as const) }),
        () => ({ type: pick(["refused", "gave-up"] as const), problem }),
        () => ({ type: "receipt", receipt }),
        () => ({ type: "stopped-before-start" }),
        () => ({ type: "stored", stored: { status: pick(["generating", "complete", "stopped", "interrupted"] as const), text: TEXT, reasoning: "" } }),
      ])();
      const before = turn;
      turn = step(turn, what, round);
      if (over(before.state)) {
        expect([turn.state, turn.text]).toEqual([before.state, before.text]);
      }
      if (turn === before) continue;
      expect(turn.state === before.state || Object.values(TABLE[before.state]).includes(turn.state) || turn.state === turn.phase).toBe(true);
      expect(TEXT.startsWith(turn.text)).toBe(true);
      expect(TEXT.startsWith(textOf(turn))).toBe(true);
      expect(textOf(turn).length).toBeGreaterThanOrEqual(textOf(before).length);
    }
  }
});
