/** What comes and goes over the wire, in the words of the service's API. */

/** Tokens that a run used. */
export interface Usage {
  promptTokens: number;
  completionTokens: number;
  totalTokens: number;
  source: "provider" | "estimated";
  reasoningTokens?: number;
  cachedTokens?: number;
}

export interface Start {
  type: "start";
  runId: string;
  model: string;
  conversationId?: string;
  userMessageId?: string;
  messageId?: string;
  /** Epoch seconds. */
  createdAt?: number;
  /** What another dialect of the service left there. */
  door?: unknown;
}

export interface Chunk {
  type: "chunk";
  content: string;
}

export interface Reasoning {
  type: "reasoning";
  content: string;
}

export interface ToolCall {
  type: "tool_call";
  index: number;
  id: string;
  name: string;
}

export interface ToolArguments {
  type: "tool_arguments";
  index: number;
  content: string;
}

export interface Source {
  type: "source";
  url: string;
  title?: string;
}

/** What the provider sent beside the answer's parts, unchanged. */
export interface Extra {
  type: "extra";
  place: "delta" | "choice" | "chunk";
  fields: Record<string, unknown>;
}

export interface End {
  type: "end";
  /** stop, length, content_filter, tool_calls, stopped, or unknown. */
  finishReason: string;
  providerFinishReason?: string;
  /** Epoch seconds. */
  endedAt: number;
  usage: Usage;
  saved?: boolean;
}

export interface Failure {
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

/** An event of a run. The last one is `end`, or `error`, which is thrown as a `RunError`. */
export type Event = Start | Chunk | Reasoning | ToolCall | ToolArguments | Source | Extra | End | Failure;

/** A line of a job's log, or several. `at` is when: RFC 3339, in UTC. */
export interface Log {
  type: "log";
  content: string;
  at?: string;
}

export interface Progress {
  type: "progress";
  /** From 0 to 1. */
  value: number;
  /** What is in progress. */
  content?: string;
  at?: string;
}

export interface Data {
  type: "data";
  data: unknown;
  at?: string;
}

export interface JobEnd {
  type: "end";
  finishReason: "completed" | "failed" | "stopped" | "lost";
  exitCode?: number;
  error?: string;
  at?: string;
}

/** A message of a job's stream. The last one is `end`. */
export type JobEvent = Log | Progress | Data | Chunk | JobEnd;

/** What is known of the stop of a stream: when the producer was asked and acknowledged it, and the offset by then. */
export interface StreamReceipt {
  asked: string;
  acknowledged: string | null;
  appended: string | null;
}

/** What a stop did. */
export interface Receipt {
  runId: string;
  outcome: "stopped" | "already_finished" | "unreachable";
  /** Whether every socket to the provider is closed; null: there never was one, or nobody knows. */
  upstreamClosed: boolean | null;
  latencyMs: number;
  finishReason: string | null;
  usage: Usage | null;
}

export interface Message {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content?: string | Record<string, unknown>[] | null;
  name?: string;
  toolCalls?: Record<string, unknown>[];
  toolCallId?: string;
}

/** The fields of a question; the API's page says what each is. */
export interface Question {
  /** Text, or content parts, such as pictures. */
  message?: string | Record<string, unknown>[];
  messages?: Message[];
  systemPrompt?: string | null;
  model?: string;
  temperature?: number;
  topP?: number;
  maxTokens?: number;
  stop?: string | string[];
  seed?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  responseFormat?: Record<string, unknown>;
  reasoningEffort?: string;
  enableThinking?: boolean;
  thinkingBudget?: number;
  enableSearch?: boolean;
  tools?: Record<string, unknown>[];
  toolChoice?: string | Record<string, unknown>;
  parallelToolCalls?: boolean;
  extraBody?: Record<string, unknown>;
  /** An id of your own; without it the client makes one. */
  runId?: string;
  /** What becomes of the run when nobody reads it: the client's default is `continue`, so that it can come back. */
  onDisconnect?: "continue" | "stop";
  conversationId?: string;
  parentId?: string | null;
  regenerate?: string;
  toolResults?: { toolCallId: string; content: unknown }[];
}

export interface FieldProblem {
  field: string;
  message: string;
}
