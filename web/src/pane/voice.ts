/**
 * What a screen reader hears of an answer: whole sentences, joined, at a pace at which they can be heard. Pure.
 *
 * How it works: of the Markdown, the complete sentences and blocks are taken; code and tables are named, not read. What
 * has come waits until the pause is over.
 */

interface VoiceWords {
  code: (language: string, lines: number) => string;
  table: (rows: number) => string;
}

const PAUSE = 2500;
const MOST = 2000; // characters of a line that are read
const TAIL = 20; // characters that may be a part of a sentence's end
const END = /[。！？]["”’」』）)]*|[.!?]["”’)]*(?=\s)|\n/g;
const FENCE = /^ {0,3}(`{3,}|~{3,}) *(\S*)/;

export class Voice {
  #words: VoiceWords;
  #rest = "";
  #ready: string[] = [];
  #said = -Infinity;
  #code: { fence: string; language: string; lines: number } | undefined;
  #rows = 0;

  constructor(words: VoiceWords) {
    this.#words = words;
  }

  /** Take a piece of the text. */
  add(piece: string): void {
    END.lastIndex = Math.max(this.#rest.length - TAIL, 0);
    this.#rest += piece;
    let cut = 0;
    for (let match = END.exec(this.#rest); match; match = END.exec(this.#rest)) {
      const whole = match[0] === "\n";
      // Within code and tables only lines count.
      if (!whole && (this.#code || /^\s*(?:\||`{3}|~{3})/.test(this.#rest.slice(cut)))) continue;
      const end = match.index + match[0].length;
      this.#line(this.#rest.slice(cut, end));
      cut = end;
    }
    this.#rest = this.#rest.slice(cut);
    // Of a line that does not end, what is not read is not kept.
    if (this.#rest.length > 2 * MOST) this.#rest = this.#rest.slice(0, MOST) + this.#rest.slice(-TAIL);
  }

  /** Take something of the page's own. */
  say(words: string): void {
    this.#ready.push(words);
  }

  /** The text is complete. */
  end(): void {
    if (this.#rest) this.#line(this.#rest);
    this.#rest = "";
    if (this.#code) this.#close();
    this.#table();
  }

  /** Return what is to be said now, or nothing. */
  due(now: number): string {
    if (!this.#ready.length || now - this.#said < PAUSE) return "";
    this.#said = now;
    return this.#ready.splice(0).join(" ");
  }

  get waits(): boolean {
    return this.#ready.length > 0;
  }

  #line(line: string): void {
    const text = line.trim();
    const fence = FENCE.exec(line);
    if (this.#code) {
      if (fence && fence[1]!.startsWith(this.#code.fence) && !fence[2]) this.#close();
      else this.#code.lines++;
    } else if (fence) {
      this.#table();
      this.#code = { fence: fence[1]!, language: fence[2]!, lines: 0 };
    } else if (text.startsWith("|")) {
      if (!/^[|\s:-]+$/.test(text)) this.#rows++;
    } else {
      this.#table();
      const heard = plain(text);
      if (heard) this.#ready.push(heard);
    }
  }

  #close(): void {
    const { language, lines } = this.#code!;
    this.#ready.push(this.#words.code(language, lines));
    this.#code = undefined;
  }

  #table(): void {
    if (this.#rows > 1) this.#ready.push(this.#words.table(this.#rows - 1));
    this.#rows = 0;
  }
}

/** Return a sentence without the signs that are not read; of a long line, its beginning. */
function plain(text: string): string {
  return text
    .slice(0, MOST)
    .replace(/^(?:#{1,6} |> ?|[-*+] (?:\[[ x]\] )?)+/, "")
    .replace(/!?\[([^[\]]*)\]\((?:[^()]|\([^()]*\))*\)/g, "$1")
    .replace(/[*`~]+|(?<!\w)_+|(?<!_)_+(?!\w)/g, "")
    .trim();
}

/** Return how many words a text has; of Chinese and Japanese, how many characters. */
export function countWords(text: string): number {
  const signs = text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu)?.length ?? 0;
  return signs + (text.replace(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu, " ").match(/[\p{L}\p{N}]+/gu)?.length ?? 0);
}
