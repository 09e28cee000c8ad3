// What the pages read and write over HTTP, for the type checker alone. The service's own definitions are in
// src/stream_serve: events.py, report.py, web/chat.py, web/problems.py and web/pages.py.

declare namespace Wire {
  /** Tokens that a run used. */
  interface Usage {
    promptTokens: number;
    completionTokens: number;
    totalTokens: number;
    source: "provider" | "estimated";
    reasoningTokens?: number;
    cachedTokens?: number;
  }

  interface Start {
    type: "start";
    runId: string;
    model: string;
    conversationId?: string;
    userMessageId?: string;
    messageId?: string;
  }

  interface Chunk {
    type: "chunk";
    content: string;
  }

  interface Reasoning {
    type: "reasoning";
    content: string;
  }

  interface ToolCall {
    type: "tool_call";
    index: number;
    id: string;
    name: string;
  }

  interface ToolArguments {
    type: "tool_arguments";
    index: number;
    content: string;
  }

  interface Source {
    type: "source";
    url: string;
    title?: string;
  }

  /** What the provider sent beside the answer's parts, unchanged. */
  interface Extra {
    type: "extra";
    place: "delta" | "choice" | "chunk";
    fields: Record<string, unknown>;
  }

  interface End {
    type: "end";
    /** stop, length, content_filter, tool_calls, stopped, or unknown. */
    finishReason: string;
    usage: Usage;
    saved?: boolean;
  }

  interface Error {
    type: "error";
    error: string;
    message: string;
    code: string;
    retryable: boolean;
    /** In seconds. */
    retryAfter?: number;
    providerCode?: string;
    requestId?: string;
    saved?: boolean;
  }

  type Event = Start | Chunk | Reasoning | ToolCall | ToolArguments | Source | Extra | End | Error;

  /** What a stop did. */
  interface Receipt {
    runId: string;
    outcome: "stopped" | "already_finished" | "unreachable";
    upstreamClosed: boolean | null;
    latencyMs: number;
    finishReason: string | null;
    usage: Usage | null;
  }

  /** The body of a start, as far as the page fills it. */
  interface ChatBody {
    message: string;
    systemPrompt?: string;
    model?: string;
    enableThinking?: boolean;
    onDisconnect?: "continue" | "stop";
    runId?: string;
  }

  /** An RFC 9457 problem. Every member is optional: a proxy may have sent one of its own. */
  interface Problem {
    title?: string;
    detail?: string;
    code?: string;
    errors?: FieldProblem[];
  }

  interface FieldProblem {
    field: string;
    message: string;
  }

  /** What the service says of itself. */
  interface Info {
    name: string;
    version: string;
    demo: boolean;
    authRequired: boolean;
    model: string | null;
  }

  /** A model that a request may name; null is not known. */
  interface Model {
    name: string;
    default: boolean;
    context: number | null;
    thinks: boolean | null;
    sees: boolean | null;
    tools: boolean | null;
  }

  interface ModelList {
    models: Model[];
    onlyListed: boolean;
  }
}
