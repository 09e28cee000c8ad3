/** A service in memory for tests: conversations, and runs whose events the test sends. */

import type { Event } from "../../../clients/js/src/index.js";
import type { Content, ConversationView, Message, Metadata } from "../../src/data/types.js";

export interface Asked {
  method: string;
  path: string;
  query: Record<string, string>;
  body: any;
  key: string | null;
  keepalive: boolean;
}

type Answer = Response | undefined | Promise<Response | undefined>;

export const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Response =>
  new Response(status === 204 ? null : JSON.stringify(body), { status, headers: { "Content-Type": "application/json", ...headers } });

export const refuse = (status: number, code: string, headers: Record<string, string> = {}): Response =>
  json({ status, code, title: code, detail: `said ${code}` }, status, headers);

export const USAGE = { promptTokens: 1, completionTokens: 2, totalTokens: 3, source: "provider" } as const;

/** A run: its events, and whoever reads them. */
export class FakeRun {
  readonly events: Event[] = [];
  stops = 0;
  #readers = new Set<ReadableStreamDefaultController<Uint8Array>>();

  constructor(
    readonly id: string,
    readonly body: any,
    readonly answer: Message | undefined,
  ) {}

  get readers(): number {
    return this.#readers.size;
  }

  send(...events: Event[]): void {
    for (const event of events) {
      this.events.push(event);
      const bytes = frame(this.events.length, event);
      for (const reader of this.#readers) reader.enqueue(bytes);
      this.#store(event);
      if (event.type === "end" || event.type === "error") for (const reader of this.#readers) reader.close();
    }
  }

  say(...pieces: string[]): void {
    for (const content of pieces) this.send({ type: "chunk", content });
  }

  end(finishReason = "stop"): void {
    this.send({ type: "end", finishReason, endedAt: 1, usage: USAGE });
  }

  /** Break all connections. */
  cut(): void {
    for (const reader of this.#readers) reader.error(new TypeError("network error"));
    this.#readers.clear();
  }

  read(after: number, signal: AbortSignal | null | undefined): Response {
    let mine: ReadableStreamDefaultController<Uint8Array>;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        mine = controller;
        this.events.slice(after).forEach((event, at) => controller.enqueue(frame(after + at + 1, event)));
        const last = this.events.at(-1)?.type;
        if (last === "end" || last === "error") controller.close();
        else this.#readers.add(controller);
      },
      cancel: () => void this.#readers.delete(mine),
    });
    signal?.addEventListener("abort", () => {
      if (this.#readers.delete(mine)) mine.error(signal.reason);
    });
    return new Response(stream, { headers: { "Content-Type": "text/event-stream", "X-Heartbeat-Interval": "15" } });
  }

  #store(event: Event): void {
    const { answer } = this;
    if (!answer) return;
    if (event.type === "chunk") answer.content += event.content;
    if (event.type === "end") answer.status = event.finishReason === "stopped" ? "stopped" : "complete";
    if (event.type === "error") Object.assign(answer, { status: "failed", error: event.code });
  }
}

const frame = (number: number, event: Event) => new TextEncoder().encode(`id: ${number}\ndata: ${JSON.stringify(event)}\n\n`);

export class FakeService {
  readonly asked: Asked[] = [];
  readonly runs: FakeRun[] = [];
  readonly conversations = new Map<string, ConversationView>();
  readonly messages = new Map<string, Message[]>();
  /** Where it returns something, that is the response. */
  before: (asked: Asked) => Answer = () => undefined;
  /** What the response to a question waits for, when the question is stored. */
  late: Promise<void> | undefined;
  #count = 0;

  /** Give it as `fetch`. */
  readonly fetch = async (input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const url = new URL(String(input));
    init.signal?.throwIfAborted();
    const asked: Asked = {
      method: init.method ?? "GET",
      path: url.pathname.slice(1),
      query: Object.fromEntries(url.searchParams),
      body: init.body ? JSON.parse(String(init.body)) : undefined,
      key: new Headers(init.headers).get("Authorization"),
      keepalive: init.keepalive ?? false,
    };
    this.asked.push(asked);
    const answer = await this.before(asked);
    const response = answer ?? this.#answer(asked, new Headers(init.headers), init.signal);
    if (asked.path === "ai/chat/stream-sse") await this.late;
    return response;
  };

  get run(): FakeRun {
    return this.runs.at(-1)!;
  }

  /** The requests of a kind, such as `PATCH ai/conversations/c1`. */
  of(method: string, path: string): Asked[] {
    return this.asked.filter((one) => one.method === method && one.path === path);
  }

  conversation(id: string, title = id, more: Partial<ConversationView> = {}): ConversationView {
    const at = new Date(Date.UTC(2026, 0, 1, 0, 0, this.#count++)).toISOString();
    const made = { id, title, createdAt: at, updatedAt: at, liveRunId: null, metadata: null, ...more };
    this.conversations.set(id, made);
    this.messages.set(id, this.messages.get(id) ?? []);
    return made;
  }

  message(conversation: string, role: Message["role"], content: Content, more: Partial<Message> = {}): Message {
    const all = this.messages.get(conversation)!;
    const made: Message = {
      id: `m${++this.#count}`, parentId: all.at(-1)?.id ?? null, role, content, createdAt: new Date(this.#count).toISOString(), status: "complete",
      reasoning: null, model: null, usage: null, firstTokenMs: null, runId: null, error: null, toolCalls: null, sources: null,
      toolCallId: null, name: null, callerId: null, feedback: null, erased: false, ...more,
    };
    all.push(made);
    return made;
  }

  /** Questions and answers, one after the other. */
  exchange(conversation: string, ...texts: string[]): Message[] {
    return texts.map((text, at) => this.message(conversation, at % 2 ? "assistant" : "user", text));
  }

  #answer({ method, path, query, body }: Asked, headers: Headers, signal: AbortSignal | null | undefined): Response {
    const [, place, id = "", what, which] = path.split("/");
    if (path === "ai/chat/stream-sse") return this.#chat(body, headers.get("Idempotency-Key") ?? "", signal);
    if (path === "ai/models") return json({ models: [], onlyListed: false });
    if (place === "runs") return this.#run(id, what, Number(headers.get("Last-Event-ID") ?? 0), signal);
    if (place === "conversations" && !id) return this.#list(query);
    const conversation = this.conversations.get(id);
    if (!conversation) return refuse(404, "conversation_not_found");
    if (what === "messages" && which) {
      const message = this.messages.get(id)!.find((one) => one.id === which)!;
      return json(Object.assign(message, body));
    }
    if (what === "messages") return this.#page(id, query);
    if (what === "export") return new Response("exported");
    if (method === "DELETE") {
      this.conversations.delete(id);
      return json(undefined, 204);
    }
    if (method === "PATCH") return json(Object.assign(conversation, body));
    return json({ conversation, messages: [], nextCursor: null });
  }

  #list({ q = "", limit = "20", cursor = "0" }: Record<string, string>): Response {
    const all = [...this.conversations.values()].filter(({ id, title }) => `${title} ${this.#texts(id)}`.includes(q));
    all.sort((one, other) => Date.parse(other.updatedAt) - Date.parse(one.updatedAt));
    const end = Number(cursor) + Number(limit);
    const conversations = all.slice(Number(cursor), end);
    const matches = Object.fromEntries(
      conversations.flatMap(({ id }) => {
        const hit = q ? this.messages.get(id)!.findLast(({ content }) => String(content).includes(q)) : undefined;
        return hit ? [[id, { messageId: hit.id, before: "", text: q, after: "" }]] : [];
      }),
    );
    return json({ conversations, nextCursor: end < all.length ? `${end}` : null, matches, indexing: false });
  }

  #texts = (id: string) => this.messages.get(id)!.map(({ content }) => String(content)).join(" ");

  #page(id: string, { limit = "50", after }: Record<string, string>): Response {
    const all = [...this.messages.get(id)!].reverse();
    const from = after ? all.findIndex((one) => one.id === after) + 1 : 0;
    const messages = all.slice(from, from + Number(limit));
    return json({ messages, nextCursor: from + messages.length < all.length ? messages.at(-1)!.id : null });
  }

  #chat(body: any, runId: string, signal: AbortSignal | null | undefined): Response {
    const joined = this.runs.find(({ id }) => id === runId);
    if (joined) return JSON.stringify(joined.body) === JSON.stringify(body) ? joined.read(0, signal) : refuse(409, "run_conflict");
    let ids: object = {};
    let answer: Message | undefined;
    if (body.conversationId) {
      const id = body.conversationId === "new" ? `c${++this.#count}` : body.conversationId;
      if (body.conversationId === "new") this.conversation(id, body.message);
      const again = this.messages.get(id)!.find((one) => one.id === body.regenerate);
      const asked = again ? (again.role === "user" ? again.id : again.parentId!) : this.message(id, "user", body.message, { parentId: body.parentId ?? null }).id;
      answer = this.message(id, "assistant", "", { parentId: asked, status: "generating", runId });
      ids = { conversationId: id, userMessageId: asked, messageId: answer.id };
    }
    const run = new FakeRun(runId, body, answer);
    this.runs.push(run);
    run.send({ type: "start", runId, model: "m", ...ids });
    return run.read(0, signal);
  }

  #run(id: string, what: string | undefined, after: number, signal: AbortSignal | null | undefined): Response {
    const run = this.runs.find((one) => one.id === id);
    if (!run) return refuse(404, "run_not_found");
    if (what === "events") return run.read(after, signal);
    if (what !== "stop") return json({ runId: id, state: "streaming" });
    run.stops++;
    if (!/end|error/.test(run.events.at(-1)!.type)) run.end("stopped");
    return json({ runId: id, outcome: "stopped", upstreamClosed: true, latencyMs: 12, finishReason: "stopped", usage: USAGE });
  }
}

/** Return what keeps values as a browser's storage does. */
export function storage(): Storage {
  const all = new Map<string, string>();
  return {
    get length() {
      return all.size;
    },
    key: (at) => [...all.keys()][at] ?? null,
    getItem: (name) => all.get(name) ?? null,
    setItem: (name, value) => void all.set(name, value),
    removeItem: (name) => void all.delete(name),
    clear: () => all.clear(),
  };
}

/** Return what a tab's storage has, as one that is made of it has it. */
export function copied(from: Storage): Storage {
  const copy = storage();
  for (let at = 0; at < from.length; at++) copy.setItem(from.key(at)!, from.getItem(from.key(at)!)!);
  return copy;
}

export type { Metadata };
