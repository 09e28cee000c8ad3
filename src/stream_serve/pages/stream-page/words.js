// The words of the page of a stream in its two languages, and the choice between them, which all pages share.

import { every } from "../test-stream/element.js";

const STORED_AS = "stream-serve.language";

const CHINESE = {
  tag: "zh-CN",
  subtitle: "stream-serve · 实时流",
  language: "语言",
  apiDocs: "接口文档",
  skip: "跳到日志",
  state: "状态",
  stop: "停止",
  key: "API 密钥",
  keyHint: "只保存在当前标签页中",
  open: "打开",
  again: "重试",
  outcome: "结束",
  receipt: "停止回执",
  progress: "进度",
  log: "日志",
  search: "搜索",
  searchHint: "搜索（按 / 键）",
  toEnd: "跳到末尾 ↓",
  connecting: "正在连接…",
  catching: "正在追上…",
  live: "实时",
  lost: "连接已断，正在重连…",
  offline: "离线：网络恢复后继续",
  over: "已结束：{reason}",
  needsKey: "需要 API 密钥",
  refused: "无法读取",
  noStream: "没有名为“{name}”的流，或者它属于别的密钥。",
  removed: "这个流已被删除，或者已过期。",
  wrongKey: "服务不接受这个密钥。",
  failed: "{reason}",
  completed: "已完成",
  failedEnd: "失败",
  stopped: "已停止",
  lostEnd: "生产者失联",
  reason: "结果",
  exitCode: "退出码",
  error: "错误",
  at: "时间",
  asked: "已请求",
  acknowledged: "生产者确认",
  appended: "此时已写入",
  notYet: "还没有",
  asking: "正在请求生产者停止…",
  stopFailed: "停止没有送达：{reason}",
  notLine: "字节偏移 {offset}",
  one: "{count} 条",
  count: "{count} 条",
  found: "{found} / {count} 条",
  hidden: "更早的 {count} 条不再显示：页面只保留最后的部分。",
  cut: "…（还有 {count} 个字符）",
  empty: "还没有消息。",
  nothing: "没有消息。",
};

/** @typedef {keyof typeof CHINESE} Key */

/** @type {Record<Key, string>} */
const ENGLISH = {
  tag: "en",
  subtitle: "stream-serve · live stream",
  language: "Language",
  apiDocs: "API",
  skip: "Skip to the log",
  state: "State",
  stop: "Stop",
  key: "API key",
  keyHint: "kept in this tab only",
  open: "Open",
  again: "Try again",
  outcome: "End",
  receipt: "Stop receipt",
  progress: "Progress",
  log: "Log",
  search: "Search",
  searchHint: "Search (press /)",
  toEnd: "To the end ↓",
  connecting: "Connecting…",
  catching: "Catching up…",
  live: "Live",
  lost: "Connection lost, connecting again…",
  offline: "Offline: goes on with the network",
  over: "Ended: {reason}",
  needsKey: "An API key is needed",
  refused: "Cannot be read",
  noStream: "There is no stream named “{name}”, or it belongs to another key.",
  removed: "The stream was deleted, or has expired.",
  wrongKey: "The service does not take this key.",
  failed: "{reason}",
  completed: "completed",
  failedEnd: "failed",
  stopped: "stopped",
  lostEnd: "its producer is lost",
  reason: "Result",
  exitCode: "Exit code",
  error: "Error",
  at: "Time",
  asked: "Asked",
  acknowledged: "Acknowledged",
  appended: "Written by then",
  notYet: "not yet",
  asking: "Asking the producer to stop…",
  stopFailed: "The stop has not arrived: {reason}",
  notLine: "byte offset {offset}",
  one: "1 message",
  count: "{count} messages",
  found: "{found} of {count} messages",
  hidden: "{count} earlier messages are no longer shown: the page keeps the last ones.",
  cut: "… ({count} more characters)",
  empty: "No messages yet.",
  nothing: "No messages.",
};

let current = CHINESE;

/** The language that was chosen here before, or else the browser's. */
export function preferred() {
  try {
    const stored = localStorage.getItem(STORED_AS);
    if (stored === "zh" || stored === "en") return stored;
  } catch {
    // Storage is switched off.
  }
  return /^zh\b/i.test(navigator.language) ? "zh" : "en";
}

/**
 * Show the page in a language.
 * @param {"zh" | "en"} name
 */
export function speak(name, remember = false) {
  current = name === "zh" ? CHINESE : ENGLISH;
  document.documentElement.lang = current.tag;
  for (const element of every(document, "[data-text]", HTMLElement)) element.textContent = wordsFor(element.dataset.text);
  for (const element of every(document, "[data-label]", HTMLElement)) {
    element.setAttribute("aria-label", wordsFor(element.dataset.label));
  }
  for (const element of every(document, "[data-placeholder]", HTMLInputElement)) {
    // Whoever has no pointer that hovers has no key to press, either.
    const touch = matchMedia("(hover: none)").matches;
    element.placeholder = wordsFor(touch ? "search" : element.dataset.placeholder);
  }
  if (!remember) return;
  try {
    localStorage.setItem(STORED_AS, name);
  } catch {
    // As above.
  }
}

/**
 * The words for a key, with `{name}` replaced.
 * @param {Key} key
 * @param {Record<string, string | number>} values
 */
export function text(key, values = {}) {
  return current[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** @param {string | undefined} key */
function wordsFor(key) {
  return key !== undefined && Object.hasOwn(current, key) ? current[/** @type {Key} */ (key)] : "";
}

/** @param {number} value */
export const number = (value) => value.toLocaleString(current.tag);

/**
 * A time of the wire as the clock here shows it; what is no time is shown as it is.
 * @param {unknown} at
 */
export function time(at) {
  if (at === undefined || at === null || at === "") return "";
  const date = new Date(typeof at === "number" ? at * 1000 : String(at));
  if (Number.isNaN(date.getTime())) return (typeof at === "string" ? at : JSON.stringify(at)).slice(0, 40);
  return date.toLocaleTimeString(current.tag, { hour12: false });
}

/**
 * The same with its day.
 * @param {unknown} at
 */
export function moment(at) {
  const date = new Date(typeof at === "number" ? at * 1000 : String(at ?? ""));
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString(current.tag, { hour12: false });
}
