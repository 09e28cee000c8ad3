// The page's words in its two languages, and the choice between them.

import { every } from "./element.js";

const STORED_AS = "stream-serve.language";

const CHINESE = {
  tag: "zh-CN",
  title: "stream-serve · 流式调试",
  subtitle: "流式调试",
  language: "语言",
  apiDocs: "接口文档",
  skip: "跳到回答",
  demo: "当前是内置的演示模型。设置 `DASHSCOPE_API_KEY` 并重启服务，即可接入真实模型。",
  infoFailed: "无法读取服务信息：{reason}",
  request: "请求",
  message: "消息",
  messageHint: "想问点什么?",
  messageNeeded: "请先输入消息。",
  systemPrompt: "系统提示词",
  systemPromptHint: "留空则使用服务的默认提示词",
  model: "模型",
  modelHint: "可选，列表中有 {count} 个",
  modelNeeded: "从 {count} 个中选一个",
  modelDefault: "默认",
  modelContext: "{tokens} token",
  modelThinks: "能思考",
  modelSees: "能看图",
  modelTools: "能调用工具",
  optional: "可选",
  thinkingSwitch: "思考",
  thinkingHint: "让模型先思考再回答",
  key: "API 密钥",
  keyHint: "只保存在当前标签页中",
  start: "开始聊天",
  stop: "停止生成",
  answer: "回答",
  answerEmpty: "回答会在这里逐字出现。",
  answerWaiting: "等待第一个 token…",
  answerNothing: "没有收到任何文本。",
  copyAnswer: "复制回答",
  thinking: "思考过程",
  stoppedMark: "[用户停止生成]",
  inspector: "事件检查器",
  statusReady: "就绪",
  statusStarted: "已开始，正在接收…",
  statusFinished: "已完成 · {reason}",
  statusStopped: "已停止",
  statusFailed: "出错：{reason}",
  statusCut: "连接中断，回答可能不完整",
  statusResuming: "正在接续这次运行…",
  statusLost: "连接断开，正在重新连接…",
  statusForgotten: "服务已不再保留之前的运行，可以重新开始",
  lost: "连接断开，正在重新连接…已收到的内容都保留着，接上后从断开处继续，不缺也不重复。",
  followElsewhere: "在另一个标签页中跟随",
  newTab: "（在新标签页中打开）",
  reading: "这次运行从第一个事件起重新读取：时间从本次读取开始计算，而不是从运行开始。",
  tileFirstEvent: "首个事件",
  tileFirstToken: "首 token",
  tileTokens: "token/秒",
  tileCharacters: "字符/秒",
  tileTotal: "总耗时",
  tileEvents: "事件",
  tileBytes: "字节",
  estimated: "估算",
  comments: "另有 {count} 条注释",
  ms: "{value} 毫秒",
  s: "{value} 秒",
  gaps: "文本事件的间隔",
  gapsNone: "还没有间隔数据",
  gapsSummary: "中位数 {median} · p95 {p95} · 最大 {max}",
  gapsLabel: "文本事件间隔图：共 {count} 个间隔，中位数 {median}，最大 {max}",
  views: "检查器视图",
  tabEvents: "事件",
  tabRaw: "原始字节",
  tabCurl: "curl",
  columnId: "编号",
  columnType: "类型",
  columnTime: "时间 ms",
  columnGap: "间隔 ms",
  columnSize: "字节",
  columnData: "数据",
  eventsEmpty: "还没有事件。",
  eventsHidden: "为保持流畅，较早的 {count} 行已隐藏；计数仍包含全部事件。",
  eventsSkipped: "有 {count} 处编号不连续。",
  skipped: "编号与上一个事件不连续",
  rawEmpty: "还没有收到字节。",
  rawCut: "仅显示前 {shown}，共 {total}。下载可得到 {kept}。",
  rawShown: "已收到 {total}",
  download: "下载",
  copy: "复制",
  copied: "已复制",
  copyFailed: "无法复制，请手动选择",
  curlSent: "已发送的请求；再次执行会接入同一次运行",
  curlFollowed: "读取这次运行的请求",
  curlPreview: "按当前表单生成的请求",
  curlStop: "从任何地方停止这次运行",
  finishReason: "结束原因",
  reason_stop: "正常结束",
  reason_length: "达到长度上限",
  reason_content_filter: "被内容审查截断",
  reason_unknown: "服务商没有说明原因",
  reason_tool_calls: "请求调用工具",
  reason_stopped: "用户停止",
  saved: "保存",
  saved_true: "已保存到会话",
  saved_false: "未能保存",
  conversation: "会话编号",
  usage: "用量",
  usageLine: "输入 {prompt} · 输出 {completion} · 合计 {total}",
  usageThinking: "其中思考 {reasoning}",
  source_provider: "服务商统计",
  source_estimated: "估算",
  runId: "运行编号",
  receipt: "停止回执",
  outcome: "结果",
  outcome_stopped: "已停止",
  outcome_already_finished: "此前已经结束",
  outcome_unreachable: "联系不上拥有它的进程，停止请求会等着它",
  upstreamClosed: "与模型服务商的连接",
  closed_true: "已关闭",
  closed_false: "未确认关闭",
  closed_null: "没有建立过，或未知",
  latency: "停止耗时",
  abandoned: "停止先于运行开始：服务已记下这次停止，不会再调用模型，因此没有回执。",
  stopFailed: "停止请求失败",
  stopFailedHint: "服务没有确认停止，运行可能仍在继续。无人读取的运行会在时限到后由服务停止。",
  stopDelivering: "停止请求还没有送达，运行可能仍在继续。页面会继续尝试送达。",
  failedEvent: "模型服务出错",
  failedProblem: "请求被拒绝",
  failedNetwork: "网络错误",
  failedNetworkHint: "无法连接到服务，或连接在中途断开。请确认服务正在运行。",
  failedCut: "连接在回答结束前中断",
  failedCutHint: "没有收到结束事件，以上文本可能不完整。",
  failedGap: "收到的事件有缺口",
  failedGapHint: "应为第 {expected} 个事件，收到的是第 {got} 个。为避免显示缺字的文本，已不再读取。",
  failedContent: "返回的不是事件流",
  failedContentHint: "预期为 text/event-stream，收到 {type}。中间可能有代理改写了响应。",
  nothing: "空",
  code: "错误码",
  providerCode: "服务商错误码",
  requestId: "请求 ID",
  httpStatus: "HTTP 状态",
  retry: "重试",
  retryable: "可以重试",
  notRetryable: "重试无济于事",
  retryAfter: "可在 {seconds} 秒后重试",
  error_upstream_unreachable: "无法连接到模型服务商。请检查网络和服务地址。",
  error_upstream_auth: "模型服务商不接受所配置的密钥。",
  error_upstream_rejected: "模型服务商拒绝了这个请求。",
  error_upstream_context_exceeded: "内容太长，超过了模型的上下文长度。",
  error_upstream_rate_limited: "模型服务商正在限流或额度不足。",
  error_upstream_error: "模型服务商报告了错误。",
  error_upstream_protocol: "模型服务商的响应无法识别。",
  error_upstream_disconnected: "与模型服务商的连接在中途断开。",
  error_upstream_incomplete: "模型服务商在回答结束前就停止了输出。",
  error_upstream_timeout: "模型服务商太久没有响应。",
  error_upstream_too_large: "模型服务商的输出超过了上限。",
  error_run_timeout: "这次运行超过了总时限。",
  error_run_interrupted: "服务中断了这次运行。",
  error_events_lost: "这次运行的部分事件已经丢失，目前的文本不完整。",
  error_stream_moved: "这个进程即将结束：请到另一个进程继续读取。",
  error_internal_error: "服务内部出错。",
  problem_run_not_found: "服务没有这次运行，或者已不再保留。",
  problem_run_conflict: "这个运行编号已用于另一个请求。",
  problem_cursor_beyond_log: "页面收到的事件比服务记录的还多，无法接续。",
  problem_too_many_runs: "同时进行的运行太多，请稍后再试。",
  problem_full: "服务已满，请稍后再试。",
  problem_unknown_model: "模型不存在，或者没有指定：请从列表中选一个。",
  problem_models_unavailable: "没有指定模型，也无法询问服务商有哪些模型。",
  problem_draining: "服务正在关闭，请稍后再试。",
  status_401: "服务需要有效的 API 密钥，请填写后重试。",
  status_413: "请求内容过大。",
  status_422: "有字段不符合要求。",
  status_429: "请求过于频繁。",
  status_503: "服务暂时不可用。",
};

/** @typedef {typeof CHINESE} Words  one for each key, in every language */
/** @typedef {"closed" | "error" | "outcome" | "problem" | "reason" | "saved" | "source" | "status"} Family */
/** @typedef {keyof Words | `${Family}_${string}`} Key  a key of a family may be one that has no words */

/** @type {Words} */
const ENGLISH = {
  tag: "en",
  title: "stream-serve · Stream debugger",
  subtitle: "Stream debugger",
  language: "Language",
  apiDocs: "API docs",
  skip: "Skip to the answer",
  demo: "This is the built-in demo model. Set `DASHSCOPE_API_KEY` and restart the service to connect a real one.",
  infoFailed: "The service's information could not be read: {reason}",
  request: "Request",
  message: "Message",
  messageHint: "What would you like to ask?",
  messageNeeded: "Please write a message first.",
  systemPrompt: "System prompt",
  systemPromptHint: "Empty: the service's default",
  model: "Model",
  modelHint: "optional, {count} in the list",
  modelNeeded: "one of {count} in the list",
  modelDefault: "default",
  modelContext: "{tokens} tokens",
  modelThinks: "thinks",
  modelSees: "takes images",
  modelTools: "calls tools",
  optional: "optional",
  thinkingSwitch: "Thinking",
  thinkingHint: "Let the model think before it answers",
  key: "API key",
  keyHint: "Kept in this tab only",
  start: "Start",
  stop: "Stop generating",
  answer: "Answer",
  answerEmpty: "The answer appears here as it is written.",
  answerWaiting: "Waiting for the first token…",
  answerNothing: "No text was received.",
  copyAnswer: "Copy answer",
  thinking: "Thinking",
  stoppedMark: "[stopped by the user]",
  inspector: "Inspector",
  statusReady: "Ready",
  statusStarted: "Started, receiving…",
  statusFinished: "Finished · {reason}",
  statusStopped: "Stopped",
  statusFailed: "Error: {reason}",
  statusCut: "Cut off: the answer may be incomplete",
  statusResuming: "Taking up the run…",
  statusLost: "Connection lost, reconnecting…",
  statusForgotten: "The service no longer has the earlier run: start again",
  lost: "Connection lost, reconnecting… What has come is kept, and the rest follows without a gap or a repetition.",
  followElsewhere: "Follow in another tab",
  newTab: " (opens a new tab)",
  reading: "This run is read again from its first event: the times are those of this reading, not of the run.",
  tileFirstEvent: "First event",
  tileFirstToken: "First token",
  tileTokens: "Tokens/s",
  tileCharacters: "Characters/s",
  tileTotal: "Total time",
  tileEvents: "Events",
  tileBytes: "Bytes",
  estimated: "estimated",
  comments: "and {count} comments",
  ms: "{value} ms",
  s: "{value} s",
  gaps: "Gaps between text events",
  gapsNone: "No gaps yet",
  gapsSummary: "median {median} · p95 {p95} · max {max}",
  gapsLabel: "Chart of the gaps between text events: {count} gaps, median {median}, maximum {max}",
  views: "Inspector views",
  tabEvents: "Events",
  tabRaw: "Raw bytes",
  tabCurl: "curl",
  columnId: "No.",
  columnType: "Type",
  columnTime: "Time ms",
  columnGap: "Gap ms",
  columnSize: "Bytes",
  columnData: "Data",
  eventsEmpty: "No events yet.",
  eventsHidden: "{count} earlier rows are hidden to keep the page quick; every event is counted.",
  eventsSkipped: "{count} event numbers do not follow the one before.",
  skipped: "The number does not follow the event before it",
  rawEmpty: "No bytes yet.",
  rawCut: "Showing the first {shown} of {total}. The download has {kept}.",
  rawShown: "{total} received",
  download: "Download",
  copy: "Copy",
  copied: "Copied",
  copyFailed: "Could not copy: select it by hand",
  curlSent: "The request that was sent; sent again, it joins the same run",
  curlFollowed: "The request that reads this run",
  curlPreview: "The request that the form makes",
  curlStop: "Stop this run from anywhere",
  finishReason: "Finish reason",
  reason_stop: "complete",
  reason_length: "length limit reached",
  reason_content_filter: "cut by a content filter",
  reason_unknown: "the provider did not say why",
  reason_tool_calls: "asks for a tool",
  reason_stopped: "stopped by the user",
  saved: "Saved",
  saved_true: "stored in the conversation",
  saved_false: "could not be stored",
  conversation: "Conversation",
  usage: "Usage",
  usageLine: "prompt {prompt} · completion {completion} · total {total}",
  usageThinking: "of which thinking {reasoning}",
  source_provider: "counted by the provider",
  source_estimated: "estimated",
  runId: "Run",
  receipt: "Stop receipt",
  outcome: "Outcome",
  outcome_stopped: "stopped",
  outcome_already_finished: "had already finished",
  outcome_unreachable: "its process does not answer; the stop waits for it",
  upstreamClosed: "Connection to the provider",
  closed_true: "closed",
  closed_false: "not confirmed closed",
  closed_null: "there was none, or nobody knows",
  latency: "Time to stop",
  abandoned: "Stopped before the run began: the service remembers the stop and will not call the model, so there is no receipt.",
  stopFailed: "The stop request failed",
  stopFailedHint: "The service did not confirm the stop, and the run may be going on. A run that nobody reads is stopped by the service after a limit.",
  stopDelivering: "The stop has not arrived yet, and the run may be going on. The page keeps trying to deliver it.",
  failedEvent: "The model's service reported an error",
  failedProblem: "The request was refused",
  failedNetwork: "Network error",
  failedNetworkHint: "The service cannot be reached, or the connection broke. Check that it is running.",
  failedCut: "The connection ended before the answer did",
  failedCutHint: "No end event came: the text above may be incomplete.",
  failedGap: "An event is missing",
  failedGapHint: "Event {expected} should have come, and {got} did. The page stopped reading rather than show text with a hole in it.",
  failedContent: "The response is not an event stream",
  failedContentHint: "Expected text/event-stream, got {type}. A proxy may have changed the response.",
  nothing: "nothing",
  code: "Code",
  providerCode: "Provider's code",
  requestId: "Request ID",
  httpStatus: "HTTP status",
  retry: "Retry",
  retryable: "worth trying again",
  notRetryable: "trying again will not help",
  retryAfter: "possible in {seconds} s",
  error_upstream_unreachable: "The model provider cannot be reached. Check the network and the address.",
  error_upstream_auth: "The model provider does not accept the configured key.",
  error_upstream_rejected: "The model provider refused this request.",
  error_upstream_context_exceeded: "This is longer than the model's context.",
  error_upstream_rate_limited: "The model provider is limiting requests, or the quota is used up.",
  error_upstream_error: "The model provider reported an error.",
  error_upstream_protocol: "The model provider's response could not be understood.",
  error_upstream_disconnected: "The connection to the model provider broke in the middle.",
  error_upstream_incomplete: "The model provider stopped before the answer was complete.",
  error_upstream_timeout: "The model provider took too long.",
  error_upstream_too_large: "The model provider sent more than is allowed.",
  error_run_timeout: "The run took longer than a run may take.",
  error_run_interrupted: "The service interrupted the run.",
  error_events_lost: "Events of this run are gone: the text so far is not the whole of it.",
  error_stream_moved: "This process ends: read on at another one.",
  error_internal_error: "The service itself failed.",
  problem_run_not_found: "The service has no such run, or no longer keeps it.",
  problem_run_conflict: "This run id was used for another request.",
  problem_cursor_beyond_log: "The page has more events than the service's log: the run cannot be taken up.",
  problem_too_many_runs: "Too many runs at once: try again in a while.",
  problem_full: "The service is full: try again in a while.",
  problem_unknown_model: "The model is unknown, or none is named: choose one of the list.",
  problem_models_unavailable: "No model is named, and the provider cannot be asked which it has.",
  problem_draining: "The service is shutting down: try again in a while.",
  status_401: "The service wants a valid API key: enter it and send again.",
  status_413: "The request is too large.",
  status_422: "A field is not as it should be.",
  status_429: "Too many requests.",
  status_503: "The service is not available at the moment.",
};

const LANGUAGES = { zh: CHINESE, en: ENGLISH };
/** @typedef {keyof typeof LANGUAGES} Language */
let current = ENGLISH;

/**
 * @param {string} name
 * @returns {name is Language}
 */
function isLanguage(name) {
  return Object.hasOwn(LANGUAGES, name);
}

/**
 * The remembered language, else the first of the browser's that the page speaks, else English.
 * @returns {Language}
 */
export function preferredLanguage() {
  let stored = null;
  try {
    stored = localStorage.getItem(STORED_AS);
  } catch {
    // Storage is switched off: the choice then lasts as long as the page.
  }
  if (stored !== null && isLanguage(stored)) return stored;
  const spoken = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0] ?? "");
  return spoken.find(isLanguage) ?? "en";
}

/**
 * Speak this language from now on; `remember` it for the next visit.
 * @param {Language} name
 */
export function setLanguage(name, remember = false) {
  current = LANGUAGES[name];
  document.documentElement.lang = current.tag;
  document.title = current.title;
  translate(document.body);
  if (!remember) return;
  try {
    localStorage.setItem(STORED_AS, name);
  } catch {
    // As above.
  }
}

/**
 * The words for a key, with `{name}` replaced; "" for a key that is not there.
 * @param {Key} key
 * @param {Record<string, unknown>} values
 */
export function text(key, values = {}) {
  return wordsFor(key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * The words that an element's `data-text` names; "" where it names none.
 * @param {HTMLElement} element
 */
export function ownText(element) {
  return wordsFor(element.dataset.text);
}

/** @param {string | undefined} key */
function wordsFor(key) {
  /** @type {Record<string, string>} */
  const all = current;
  return (key !== undefined && Object.hasOwn(all, key) && all[key]) || "";
}

/**
 * A number as the language writes it.
 * @param {number} value
 */
export function number(value, digits = 0) {
  return value.toLocaleString(current.tag, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/**
 * Milliseconds as a person reads them.
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < 1000) return text("ms", { value: number(ms, ms < 100 ? 1 : 0) });
  return text("s", { value: number(ms / 1000, 2) });
}

/**
 * Bytes as a person reads them.
 * @param {number} bytes
 */
export function size(bytes) {
  if (bytes < 1024) return `${number(bytes)} B`;
  if (bytes < 1024 * 1024) return `${number(bytes / 1024, 1)} KiB`;
  return `${number(bytes / (1024 * 1024), 1)} MiB`;
}

/**
 * Put words with `code` in them into an element, as text and <code> elements.
 * @param {HTMLElement} element
 * @param {string} words
 */
function write(element, words) {
  const parts = words.split("`").map((part, index) => {
    if (index % 2 === 0) return document.createTextNode(part);
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
  element.replaceChildren(...parts);
}

/** @param {HTMLElement} root */
function translate(root) {
  for (const element of every(root, "[data-text]", HTMLElement)) write(element, ownText(element));
  for (const element of every(root, "[data-text-placeholder]", HTMLTextAreaElement)) {
    element.placeholder = wordsFor(element.dataset.textPlaceholder);
  }
  for (const element of every(root, "[data-text-label]", HTMLElement)) {
    element.setAttribute("aria-label", wordsFor(element.dataset.textLabel));
  }
}
