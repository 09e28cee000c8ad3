/** What the API says of conversations, messages and models; docs/api.md has the meanings. */

import type { Usage } from "../../../clients/js/src/index.js";
import type { Status } from "../turn/index.js";

export type Content = string | Record<string, unknown>[];

/** What the page keeps with a conversation. Other callers may keep more; it stays. */
export interface Metadata {
  model?: string;
  systemPrompt?: string;
  temperature?: number;
  maxTokens?: number;
  thinking?: boolean;
  /** The id of the message at which the chosen way ends. */
  leaf?: string;
  [other: string]: unknown;
}

export interface ConversationView {
  id: string;
  title: string;
  /** ISO 8601. */
  createdAt: string;
  updatedAt: string;
  liveRunId: string | null;
  callerId?: string | null;
  metadata: Metadata | null;
}

export interface Match {
  messageId: string;
  before: string;
  text: string;
  after: string;
}

export interface ConversationPage {
  conversations: ConversationView[];
  nextCursor: string | null;
  matches: Record<string, Match>;
  indexing: boolean;
}

export type Feedback = "up" | "down" | null;

export interface Message {
  id: string;
  parentId: string | null;
  role: "user" | "assistant" | "tool" | "system" | "developer";
  content: Content;
  createdAt: string;
  status: Status;
  reasoning: string | null;
  model: string | null;
  usage: Usage | null;
  firstTokenMs: number | null;
  runId: string | null;
  error: string | null;
  toolCalls: { id: string; name: string; arguments: string }[] | null;
  sources: { url: string; title: string | null }[] | null;
  toolCallId: string | null;
  name: string | null;
  callerId: string | null;
  feedback: Feedback;
  erased: boolean;
}

export interface MessagesPage {
  messages: Message[];
  nextCursor: string | null;
}

export interface ConversationDetail extends MessagesPage {
  conversation: ConversationView;
}

export interface Model {
  name: string;
  default: boolean;
  context: number | null;
  thinks: boolean | null;
  sees: boolean | null;
  tools: boolean | null;
  temperature: boolean | null;
}

export interface Models {
  models: Model[];
  onlyListed: boolean;
}

export interface Info {
  name: string;
  version: string;
  demo: boolean;
  authRequired: boolean;
  model: string | null;
  /** The most that an answer may have, and has where nobody says less. */
  maxTokens: number | null;
  /** What holds where nobody says otherwise; null is as the model does. */
  temperature: number | null;
  thinking: boolean | null;
  /** Whose pages may be around this one, and hand it a token. */
  embedOrigins: string[];
}

/** A picture that goes along with a question. */
export interface Picture {
  readonly kind: "picture";
  readonly name: string;
  readonly src: string;
  readonly bytes: number;
}

/** Return the pictures of a question, to be in the box again. */
export function picturesOf(content: Content): Picture[] {
  if (typeof content === "string") return [];
  return content.flatMap((part) => {
    const src = part["type"] === "image_url" && (part["image_url"] as { url?: unknown } | undefined)?.url;
    return typeof src === "string" ? [{ kind: "picture" as const, name: "", src, bytes: Math.round(src.length * 0.75) }] : [];
  });
}

/** Return the text of a message, without its pictures. */
export function plain(content: Content): string {
  if (typeof content === "string") return content;
  return content.flatMap((part) => (part["type"] === "text" && typeof part["text"] === "string" ? [part["text"]] : [])).join("\n");
}
