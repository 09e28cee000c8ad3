/** Parts of an answer besides its text: tools, sources, the mark and receipt of its end, and what went wrong. */

import type { Receipt } from "../../../clients/js/src/index.js";
import { make } from "../shell/dom.js";
import { linkTarget } from "../text/urls.js";
import { label, trouble, unsent, type Problem, type Source, type Tool, type Turn } from "../turn/index.js";
import { say } from "../words/index.js";
import { Buttons, text } from "./view.js";

/** Cards for the calls of tools, in their order; what is open stays open. */
export class Tools {
  readonly element = make("div", { class: "tools" });
  #cards: { name: HTMLElement; set: (json: string) => void }[] = [];

  draw(tools: readonly Tool[]): void {
    tools.forEach((tool, index) => {
      const { name, set } = (this.#cards[index] ??= this.#add());
      text(name, say("turns.tool", { name: tool.name }));
      set(tool.arguments);
    });
  }

  #add() {
    const name = make("summary");
    const code = make("pre", { translate: "no", tabindex: "0" });
    const card = make("details", { class: "card" }, name, code);
    this.element.append(card);
    let given = "";
    let shown = "";
    // What is not open has no lines yet.
    const show = () => {
      if (!card.open || given === shown) return;
      text(code, pretty(given));
      shown = given;
    };
    card.addEventListener("toggle", show);
    return { name, set: (json: string) => ((given = json), show()) };
  }
}

const LONGEST = 100_000;
const DEEPEST = 20;
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{[]\s*[}\]]|[{}[\],:]|[^\s{}[\],:"]+/g;

/** The text of a JSON object, with its lines; what is no JSON yet, is long or deep as it is. No value is read, so none is changed. */
export function pretty(json: string): string {
  if (json.length > LONGEST || !/[}\]]/.test(json.slice(-1)) || !valid(json)) return json;
  let depth = 0;
  let lines = "";
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const [token] of json.matchAll(TOKEN)) {
    if (token === "{" || token === "[") {
      if (++depth > DEEPEST) return json;
      lines += token + line();
    } else if (token === "}" || token === "]") {
      depth--;
      lines += line() + token;
    } else lines += token === "," ? token + line() : token === ":" ? ": " : token[0] === '"' ? token : token.replace(/\s+/g, "");
  }
  return lines;
}

function valid(json: string): boolean {
  try {
    JSON.parse(json);
    return true;
  } catch {
    return false;
  }
}

export class Sources {
  readonly element = make("div", { class: "sources" });
  #title = make("p", { class: "note" });
  #list = make("ol");
  #count = 0;

  constructor() {
    this.element.append(this.#title, this.#list);
  }

  draw(sources: readonly Source[]): void {
    text(this.#title, say("turns.sources"));
    for (const source of sources.slice(this.#count)) this.#list.append(make("li", {}, link(source)));
    this.#count = sources.length;
  }
}

function link({ url, title }: Source): Node {
  const target = linkTarget(url);
  const name = title?.trim() || target?.host || url;
  if (!target || !/^https?:$/.test(target.protocol)) return make("span", { dir: "auto" }, name);
  const rel = "noopener noreferrer nofollow";
  const host = make("span", { class: "host" }, ` ${target.host}`);
  return make("span", {}, make("a", { href: target.href, target: "_blank", rel, dir: "auto" }, name), ...(title ? [host] : []));
}

/** How an answer stands, or how it ended; below the mark of a stop its receipt is opened. */
export class Mark {
  readonly element = make("div", { class: "mark" });
  #line = make("p", { class: "note" });
  #missing = make("p", { class: "note", role: "status" });
  #receipt = make("details", { class: "receipt" }, make("summary"), make("dl"), this.#missing);
  #problem: Problem | undefined; // why there is no receipt

  /** With what reads a receipt that is not here, and returns why it cannot. */
  constructor(read: () => Promise<Problem | undefined>) {
    this.element.append(this.#line);
    this.#receipt.addEventListener("toggle", async () => {
      if (!this.#receipt.open) return;
      this.#problem = await read();
      this.#excuse();
    });
  }

  /** Return whether there is anything to be said. */
  draw(turn: Turn, now: number): boolean {
    const words = said(turn, now);
    text(this.#line, words.join(" "));
    this.element.dataset["state"] = turn.state;
    this.#draw(turn);
    return words.length > 0;
  }

  #draw(turn: Turn): void {
    const { receipt, usage, state, runId } = turn;
    if (state !== "stopped" || (!receipt && (!runId || unsent(turn)))) return this.#receipt.remove();
    const [summary, list] = this.#receipt.children as unknown as [HTMLElement, HTMLElement];
    text(summary, say("turns.receipt"));
    this.#excuse();
    if (receipt) fill(list, receipt, usage);
    if (!this.#receipt.isConnected) this.element.append(this.#receipt);
  }

  /** Say why there is no receipt. */
  #excuse(): void {
    const kind = this.#problem?.kind;
    text(this.#missing, kind ? say(kind === "gone" ? "turns.receiptGone" : `problem.${kind}`) : "");
  }
}

const OUTCOMES = { stopped: "receipt.stopped", already_finished: "receipt.finished", unreachable: "receipt.unreachable" } as const;

/** Show a receipt in words; the run's id is there for who looks for it in a log. */
function fill(list: HTMLElement, receipt: Receipt, usage: Turn["usage"]): void {
  const { outcome, upstreamClosed, latencyMs, runId } = receipt;
  const tokens = (receipt.usage ?? usage)?.completionTokens;
  const connection = upstreamClosed === null ? "none" : upstreamClosed ? "closed" : "open";
  const rows: [string, string][] = [
    [say("receipt.outcome"), say(OUTCOMES[outcome])],
    [say("receipt.connection"), say(`receipt.${connection}`)],
    [say("receipt.latency"), say("receipt.ms", { ms: Math.round(latencyMs) })],
  ];
  if (tokens !== undefined) rows.push([say("receipt.tokens"), `${tokens}`]);
  const nodes = rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  nodes.push(make("dt", {}, say("receipt.run")), make("dd", { translate: "no" }, runId));
  if (list.childElementCount !== nodes.length || list.textContent !== nodes.map((node) => node.textContent).join("")) list.replaceChildren(...nodes);
}

/** A complete answer speaks for itself, and so does text that arrives; the line of the thoughts says that it thinks. */
function said(turn: Turn, now: number): string[] {
  const { state, finishReason } = turn;
  const silent = state === "answering" || state === "draft" || (state === "thinking" && !!turn.reasoning);
  const ordinary = state === "complete" && finishReason !== "length" && finishReason !== "content_filter";
  const words: string[] = [];
  if (!silent && !ordinary && !turn.problem) {
    const { key, ...values } = label(turn, now);
    words.push(say(key, values));
    if (values.tokens !== undefined) words.push(`· ${say("turns.tokens", { tokens: values.tokens })}`);
  }
  if (turn.unsaved) words.push(say("turn.unsaved"));
  return words;
}

/** What went wrong, what to do, a button for it with the time that it has to wait, and details for whoever can mend it. */
export class TroubleRow {
  readonly element = make("div", { class: "trouble" });
  #buttons = new Buttons();
  #words = make("p", { role: "alert" });
  #wait = make("span", { class: "note" });
  #row = make("div", { class: "row-of" });
  #details = make("details", {}, make("summary"), make("p", { translate: "no" }));
  #retry: () => void;

  constructor(retry: () => void) {
    this.#retry = retry;
    this.element.append(this.#words, this.#row, this.#details);
  }

  /** Return whether something went wrong. While another answer is on its way, a retry has to wait. */
  draw(turn: Turn, now: number, busy: boolean): boolean {
    const problem = trouble(turn, now);
    if (!problem || !turn.problem) return false;
    const { key, ...values } = label(turn, now);
    text(this.#words, `${say(key, values)}${/[.。]$/.test(say(key, values)) ? " " : ": "}${say(problem.what)} ${say(problem.remedy)}`);
    const retry = this.#buttons.plain("turns.retry", this.#retry);
    retry.disabled = busy || problem.wait !== undefined;
    text(this.#wait, problem.wait ? say(problem.wait.key, { seconds: problem.wait.seconds ?? 0 }) : "");
    if (!retry.isConnected) this.#row.append(retry, this.#wait);
    const { message, code, requestId } = turn.problem;
    const [summary, more] = this.#details.children as unknown as [HTMLElement, HTMLElement];
    text(summary, say("turns.details"));
    text(more, [code, message, requestId && say("turns.request", { id: requestId })].filter(Boolean).join(" · "));
    this.#details.hidden = !more.textContent;
    return true;
  }
}
