/**
 * One conversation: its messages, the chosen way through them, the answer that is on its way, and what waits behind it.
 *
 * How it works: questions and answers are on the page before the service has them, and get its ids when their run
 * starts. Answers belong to their conversation, whether it is seen or not. Where the storage is away, the page sends the
 * messages itself, and they live in the page.
 */

import type { Question } from "../../../clients/js/src/index.js";
import { batch, signal, type Signal } from "../signal.js";
import { empty, over, returned, step, unsent, type Problem, type Stored, type Turn } from "../turn/index.js";
import { troubleOf } from "./api.js";
import { titleOf } from "./dates.js";
import { editOf, joined } from "./drafts.js";
import { newId } from "./ids.js";
import { LiveTurn } from "./live.js";
import { adopt, answerOf, name, update } from "./messages.js";
import { MessageNode, storedOf, turnOf } from "./node.js";
import { Pages } from "./pages.js";
import { Preferences } from "./preferences.js";
import { Queue } from "./queue.js";
import { rate } from "./rating.js";
import { recovered } from "./recover.js";
import type { Shared } from "./shared.js";
import { endOf, optionsOf, said, stepsOf, type Step } from "./steps.js";
import { Tree } from "./tree.js";
import { picturesOf, plain, type Content, type Feedback, type Message, type Metadata } from "./types.js";

const PAGES = 10; // that are read to find the chosen leaf

export class Conversation {
  /** Undefined until the service has given it one. */
  readonly id: Signal<string | undefined>;
  /** The chosen way, as far as it is here. */
  readonly steps: Signal<readonly Step[]> = signal([]);
  readonly loading: Signal<boolean> = signal(false);
  /** Whether the service has older messages. */
  readonly older: Signal<boolean>;
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  /** The answer that is on its way. */
  readonly live: Signal<MessageNode | undefined> = signal(undefined);
  /** What is to be in the box: a question that came back, or what waited behind a stopped answer. */
  readonly box: Signal<{ text: string } | undefined> = signal(undefined);
  readonly preferences: Preferences;
  readonly queue: Queue;
  /** It has answers, and the service keeps nothing of it. */
  readonly unkept: Signal<boolean> = signal(false);
  #shared: Shared;
  #home = ""; // until it has an id
  #pages: Pages;
  #tree = new Tree<MessageNode>();
  #lives = new Map<MessageNode, LiveTurn>();
  #closed = false;
  #opening = false; // what is asked has to wait: what it follows is not known
  #unread: boolean; // nothing of what the service has is here
  #stale = false; // something has changed while it was read
  #stopped = new Set<MessageNode>(); // here, by the person
  #now: string | undefined; // what is sent as soon as the stop is through
  #rejoined: string | undefined; // the run of a question of which the text alone is known
  #before = new Map<MessageNode, MessageNode>(); // the answer that another one is to replace

  constructor(shared: Shared, id?: string) {
    this.#shared = shared;
    this.#pages = new Pages(shared.api, shared.list);
    this.older = this.#pages.more;
    this.id = signal(id);
    this.#unread = id !== undefined;
    if (id === undefined) this.#home = shared.homes.add();
    const metadata = (id && shared.list.get(id)?.metadata) || {};
    this.preferences = new Preferences(shared.api, shared.session, id, metadata, (stored) => shared.list.keep(stored), this.#home);
    this.queue = new Queue(shared.store, this.place);
  }

  /** Where its draft is kept. */
  get place(): string {
    return this.id.peek() ?? this.#home;
  }

  /** Read it from the service: the newest messages, and the chosen way; follow the answer that is on its way. */
  async load(): Promise<void> {
    const id = this.id.peek();
    if (id) {
      this.#opening = true;
      await this.#loading(() => this.#open(id));
      this.#opening = false;
    }
    await this.#recover();
    // What was asked meanwhile follows what is there now, unless that is not known.
    if (this.problem.peek()) this.queue.held.value = this.queue.entries.peek().length > 0;
    else this.#sendNext();
  }

  /** Read what has changed: another tab or another device may have gone on. */
  async reread(): Promise<void> {
    const id = this.id.peek();
    if (!id) return;
    this.#stale = this.loading.peek();
    if (this.#stale) return;
    if (this.#unread) return this.load();
    await this.#loading(async () => {
      const messages = await this.#pages.newest(id);
      this.preferences.read(await this.#pages.metadata(id, { fresh: true }));
      this.#merge(messages);
    });
    if (!this.problem.peek()) this.#sendNext();
  }

  /** Read older messages. */
  async loadOlder(): Promise<void> {
    const id = this.id.peek();
    if (id && this.older.peek() && !this.loading.peek()) await this.#loading(() => this.#more(id));
  }

  /** Ask a question at the end of the chosen way. While an answer is on its way the question waits in the queue. */
  ask(content: Content): void {
    if (this.live.peek() || this.#opening) this.#wait(content);
    else {
      this.queue.held.value = false;
      this.#ask(content, endOf(this.#tree));
    }
  }

  /** Ask another question in the place of one, unless an answer is on its way: a branch beside it. */
  edit(question: MessageNode, content: Content): void {
    if (this.live.peek()) return;
    const parent = this.#tree.get(question.parentId);
    const answer = this.#tree.children(question)[0];
    this.#shared.drafts.forget(editOf(question.id));
    if (answer?.turn && unsent(answer.turn.peek())) this.#withdraw(question, answer.turn.peek());
    this.#ask(content, parent);
  }

  /** Answer a question again, unless an answer is on its way; the answer so far stays beside the new one. */
  regenerate(answer: MessageNode, more: Metadata = {}): void {
    const question = this.#tree.get(answer.parentId);
    if (!question || this.live.peek()) return;
    if (answer.turn && unsent(answer.turn.peek())) return this.#resend(answer, question, more);
    const again = MessageNode.answer(question.id);
    this.#before.set(again, answer);
    this.#begin(again, this.#again(question, answer, more));
  }

  /** Ask the same question again, after it failed; then what waits behind it may go on. */
  retry(answer: MessageNode): void {
    if (this.live.peek()) return;
    this.queue.held.value = false;
    this.regenerate(answer);
  }

  /** Read and send again what the service refused for want of a key: the first question, and behind it the others. */
  retryKey(): void {
    if (this.problem.peek()?.kind === "key") void this.load();
    for (const node of [...this.#tree.all()]) {
      const turn = node.turn?.peek();
      if (turn?.problem?.kind !== "key" || !unsent(turn)) continue;
      const question = this.#tree.get(node.parentId);
      if (!this.live.peek()) this.retry(node);
      else if (question && !this.#before.has(node)) {
        this.#withdraw(question, turn);
        this.#wait(question.content);
      }
    }
    this.#draw();
  }

  /** Stop the answer that is on its way. What waits behind it goes back to the box. */
  async stop(): Promise<void> {
    const node = this.live.peek();
    const run = node && this.#lives.get(node);
    if (!run) return;
    this.#stopped.add(node);
    await run.stop();
  }

  /** Send one that waits: the answer is stopped first. Until it is, the question stays where it is. */
  async sendNow(id: string): Promise<void> {
    if (!this.queue.entries.peek().some((one) => one.id === id)) return;
    if (!this.live.peek()) return void this.#sendWaiting(id);
    this.#now = id;
    await this.stop();
  }

  tryNow(): void {
    const node = this.live.peek();
    if (node) this.#lives.get(node)?.tryNow();
  }

  /** Show the sibling before (-1) or after (1) a message. */
  turnTo(node: MessageNode, by: -1 | 1): void {
    const sibling = this.#tree.beside(node, by);
    if (sibling) this.show(sibling);
  }

  /** Take the way through a message. */
  show(node: MessageNode): void {
    this.#tree.choose(node);
    this.#draw();
    this.#keepLeaf();
  }

  /** Return a message, and read as many older ones as that takes; undefined where it is not found. */
  async find(messageId: string): Promise<MessageNode | undefined> {
    const id = this.id.peek();
    await this.#loading(async () => {
      for (let page = 0; id && !this.#tree.get(messageId) && this.older.peek() && page < PAGES; page++) await this.#more(id);
    });
    const node = this.#tree.get(messageId);
    if (node && !this.#tree.path().includes(node)) this.show(node);
    return node;
  }

  /** Keep what the reader thinks of an answer; null takes it back. */
  async rate(answer: MessageNode, feedback: Feedback): Promise<void> {
    const id = this.id.peek();
    const problem = id && (await rate(this.#shared, id, answer, feedback));
    if (problem) this.problem.value = problem;
  }

  /** Keep, for a reload, up to where the answers that are on their way have come. */
  keep(): void {
    for (const one of this.#lives.values()) one.keep(this.#shared.session);
  }

  /** Let go of it; what the service does for it goes on. */
  close(): void {
    this.#closed = true; // what is being read may come yet
    for (const one of this.#lives.values()) one.leave();
    this.#lives.clear();
    this.preferences.close();
    this.queue.close();
  }

  async #loading(read: () => Promise<void>): Promise<void> {
    this.loading.value = true;
    try {
      await read();
      this.problem.value = undefined;
    } catch (error) {
      this.problem.value = troubleOf(error);
    } finally {
      this.loading.value = false;
    }
    if (this.#stale) await this.reread();
  }

  async #open(id: string): Promise<void> {
    const [metadata, messages] = await Promise.all([this.#pages.metadata(id), this.#pages.first(id)]);
    this.preferences.read(metadata);
    this.#merge(messages);
    const { leaf } = this.preferences.value.peek();
    for (let read = 1; leaf && !this.#tree.get(leaf) && this.older.peek() && read < PAGES; read++) await this.#more(id);
    const chosen = this.#tree.get(leaf) ?? this.#tree.get(messages[0]?.id);
    if (chosen) this.#tree.choose(chosen);
    this.#unread = false;
    this.#draw();
  }

  async #more(id: string): Promise<void> {
    this.#merge(await this.#pages.older(id), true);
  }

  /** Take messages, the newest first. */
  #merge(messages: readonly Message[], older = false): void {
    for (const message of messages) adopt(this.#tree, message);
    for (const message of older ? messages : [...messages].reverse()) {
      const node = this.#tree.get(message.id);
      if (node) update(node, message, this.#lives.has(node));
      else this.#tree.add(MessageNode.of(message), older);
      if (message.runId && message.status !== "generating") this.#shared.session.set(`run.${message.runId}`, undefined);
    }
    // The newest is followed, whoever has asked.
    for (const { id, status } of messages) if (status === "generating") this.#follow(this.#tree.get(id)!);
    if (!this.#tree.path().length && messages[0]) this.#tree.choose(this.#tree.get(messages[0].id)!);
    this.#draw();
  }

  #follow(node: MessageNode): void {
    const { message } = node;
    if (!node.turn || !message?.runId || this.#lives.has(node) || this.#closed) return;
    const { state } = node.turn.peek();
    if (over(state) && state !== "cut") return; // the storage is behind
    const known = this.#shared.session.get<Partial<Turn>>(`run.${message.runId}`);
    node.turn.value = turnOf(message, known);
    this.#drive(node, undefined);
  }

  async #recover(): Promise<void> {
    const { drafts, homes, api } = this.#shared;
    const moved = await homes.settled(this.#home);
    if (moved) for (const one of [this.queue, this.preferences]) one.recall();
    const here = (runId: string) => answerOf(this.#tree, runId) !== undefined;
    const text = await recovered(drafts, api, this.place, { here, rejoin: (text, runId) => this.#rejoin(text, runId) });
    if (moved || text !== undefined) this.box.value = { text: drafts.get(this.place) };
  }

  /** The new conversation began with this question: with its run's id it is not asked again, but read; its pictures, too. */
  #rejoin(text: string, runId: string): void {
    if (!this.id.peek() && !this.#closed && !this.#tree.path().length) this.#ask(text, undefined, (this.#rejoined = runId));
  }

  #wait(content: Content): void {
    this.queue.add(content, this.live.peek()?.turn!.peek().runId ?? "");
  }

  /** Send one that waits, the first unless another one is named; return whether it was still there. */
  #sendWaiting(id?: string): boolean {
    const one = this.queue.send(id);
    if (one) this.#ask(one.content, endOf(this.#tree), one.id);
    return one !== undefined;
  }

  /** Send the first that waits, once the answer before it is complete; where that is not known, another tab knows more. */
  #sendNext(): void {
    const { held, entries, behind } = this.queue;
    if (this.live.peek() || this.#closed || held.peek() || !entries.peek().length) return;
    const state = answerOf(this.#tree, behind)?.turn!.peek().state;
    if (!behind || state === "complete") this.#sendWaiting();
    else if (state) held.value = true;
  }

  #ask(content: Content, parent: MessageNode | undefined, runId = newId()): void {
    const question = MessageNode.question(content, parent?.id ?? null);
    const answer = MessageNode.answer(question.id);
    const asked = this.#question(question, parent);
    this.#tree.add(question);
    this.#shared.drafts.sent(this.place, plain(content), runId);
    this.#begin(answer, asked, runId);
  }

  /** Put an answer on the page, and ask for it. */
  #begin(answer: MessageNode, asked: Question, runId = newId()): void {
    this.#tree.add(answer);
    this.problem.value = undefined;
    answer.turn!.value = step(answer.turn!.peek(), { type: "send", runId }, Date.now());
    this.#tree.choose(answer);
    batch(() => {
      this.#draw();
      this.#drive(answer, asked);
    });
  }

  /** Send what the service never had, in its place. If it had it, unheard of, the run's id joins that run. */
  #resend(answer: MessageNode, question: MessageNode, more: Metadata): void {
    const { state, problem, runId } = answer.turn!.peek();
    const before = this.#before.get(answer);
    this.#withdraw(before ? answer : question, answer.turn!.peek());
    if (before) return this.regenerate(before, more);
    const same = state !== "stopped" && problem?.kind !== "gone";
    this.#ask(question.content, this.#tree.get(question.parentId), same ? runId : newId());
  }

  /** Take what was not sent off the page. */
  #withdraw(node: MessageNode, { runId }: Turn): void {
    this.#tree.remove(node);
    this.#shared.drafts.arrived(this.place, runId);
  }

  /** Return how a question is asked: in the conversation, or, where the storage has not all of it, with all messages. */
  #question(question: MessageNode, parent: MessageNode | undefined): Question {
    const way = parent ? this.#tree.pathTo(parent) : [];
    if (!this.#storable(way)) return { ...this.#options(), messages: said([...way, question]) };
    const to = this.id.peek() ? { conversationId: this.id.peek()!, parentId: parent?.id ?? null } : { conversationId: "new" };
    return { ...this.#options(), ...to, message: question.content };
  }

  #again(question: MessageNode, answer: MessageNode, more: Metadata): Question {
    const way = this.#tree.pathTo(question);
    const id = this.id.peek();
    if (!id || !this.#storable(way)) return { ...this.#options(more), messages: said(way) };
    return { ...this.#options(more), conversationId: id, regenerate: answer.stored ? answer.id : question.id };
  }

  #storable(way: readonly MessageNode[]): boolean {
    return this.#shared.storage.peek() !== "away" && way.every(({ stored }) => stored);
  }

  #options(more: Metadata = {}): Question {
    return optionsOf({ ...this.preferences.value.peek(), ...more });
  }

  #drive(node: MessageNode, asked: Question | undefined): void {
    const run = new LiveTurn(this.#shared.client, node.turn!, asked, {
      started: (turn) => this.#started(node, turn),
      stored: (turn) => this.#stored(turn),
      refused: (problem) => this.#refused(node, problem),
      ended: (turn) => this.#ended(node, turn),
    });
    this.#lives.set(node, run);
    this.live.value = node;
    this.queue.answering(node.turn!.peek().runId, asked !== undefined);
  }

  #started(node: MessageNode, turn: Turn): void {
    const { list, drafts, tabs } = this.#shared;
    const { conversationId, questionId, answerId, runId } = turn;
    batch(() => {
      drafts.arrived(this.place, runId);
      this.unkept.value = !conversationId && !this.id.peek();
      if (!conversationId) return;
      name(this.#tree, node, questionId, answerId);
      if (!this.id.peek()) this.#moved(conversationId);
      list.touch(conversationId, titleOf(this.#tree.path()[0]?.text ?? ""), runId);
      if (!this.#before.has(node)) this.#keepLeaf();
      this.#draw();
    });
    if (conversationId) tabs.tell("run", conversationId);
    if (runId === this.#rejoined) void this.reread();
  }

  /** The conversation has got its id. */
  #moved(id: string): void {
    this.#shared.storage.value = "there";
    this.#shared.drafts.move(this.#home, id);
    this.#shared.homes.remove(this.#home);
    this.queue.move(id);
    this.preferences.move(id);
    this.id.value = id;
  }

  async #stored({ answerId }: Turn): Promise<Stored | undefined> {
    const id = this.id.peek();
    const message = (id && answerId ? await this.#pages.newest(id) : []).find((one) => one.id === answerId);
    return message && storedOf(message);
  }

  #refused(node: MessageNode, problem: Problem): { runId: string; asked: Question } | undefined {
    this.#shared.refused(problem);
    const question = this.#tree.get(node.parentId);
    if (problem.kind !== "storage" || !question) return undefined;
    // The answer can do without the storage.
    const runId = newId();
    this.queue.answering(runId, true);
    if (!this.#before.has(node)) {
      this.#shared.drafts.arrived(this.place, node.turn!.peek().runId);
      this.#shared.drafts.sent(this.place, question.text, runId);
    }
    return { runId, asked: { ...this.#options(), messages: said(this.#tree.pathTo(question)) } };
  }

  #ended(node: MessageNode, turn: Turn): void {
    const id = this.id.peek();
    this.#lives.delete(node);
    this.#shared.session.set(`run.${turn.runId}`, undefined);
    batch(() => {
      this.live.value = [...this.#lives.keys()].at(-1);
      this.#settleBranch(node, turn);
      if (id) this.#shared.list.settle(id);
    });
    if (id && node.stored) this.#shared.tabs.tell("messages", id);
    this.#goOn(node, turn);
  }

  /** An answer that came to nothing gives its place back to the one that it was to replace, and what went wrong is said there. */
  #settleBranch(node: MessageNode, turn: Turn): void {
    const before = this.#before.get(node);
    if (!before) return;
    if (!empty(turn)) return this.#keepLeaf();
    if (!this.#tree.path().includes(node)) return;
    this.problem.value = turn.problem;
    this.show(before);
  }

  /** Send what waits, or do not: after a stop it is in the box again, and after an error it waits for the person. */
  #goOn(node: MessageNode, turn: Turn): void {
    const stopped = this.#stopped.delete(node);
    // It waits behind each answer that is on its way, such as that of another tab.
    if (this.live.peek()) return void (stopped && !this.#now && this.#giveBack(node, turn));
    const now = this.#now;
    this.#now = undefined;
    if (now && this.#sendWaiting(now)) return;
    // Who stops an answer that was complete by then wants no other one.
    const gives = stopped && !now && (turn.state === "stopped" || turn.state === "complete");
    if (gives) this.#giveBack(node, turn);
    else if (now || turn.state === "complete") this.#sendNext();
    else if (this.queue.entries.peek().length) this.queue.held.value = true;
  }

  #giveBack(node: MessageNode, turn: Turn): void {
    const { drafts } = this.#shared;
    const question = this.#tree.get(node.parentId);
    const bare = returned(turn) && !this.#before.has(node) && !drafts.get(this.place).trim() && question;
    const back = [...(bare ? [question.content] : []), ...this.queue.empty().map(({ content }) => content)];
    drafts.arrived(this.place, turn.runId);
    if (!back.length) return;
    this.box.value = { text: drafts.returned(this.place, joined(back.map(plain)), back.flatMap(picturesOf)) };
  }

  /** The leaf is stored where there is more than one way. */
  #keepLeaf(): void {
    const way = this.#tree.path();
    const leaf = way.at(-1);
    if (!leaf?.stored) return;
    const forked = this.preferences.value.peek().leaf !== undefined || way.some((node) => this.#tree.place(node).of > 1);
    if (forked) this.preferences.set({ leaf: leaf.id });
  }

  #draw(): void {
    this.steps.value = stepsOf(this.#tree);
  }
}
