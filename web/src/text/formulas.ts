/**
 * Formulas, found before Markdown is read: a backslash before a bracket would be an escape to it.
 *
 * How it works: in a block's text each formula is replaced by two noncharacters with a number between them, which mean
 * nothing to Markdown; the lexer makes tokens of them. What stands in code is left alone.
 */

export interface Formula {
  tex: string;
  /** Whether it has a line of its own. */
  display: boolean;
  /** As it was written, with its delimiters. */
  source: string;
}

const OPEN = "\uFDD0";
const CLOSE = "\uFDD1";
const MARK = new RegExp(`${OPEN}(\\d+)${CLOSE}`, "g");
/** A place of a formula at the start of a text. */
export const PLACE = new RegExp(`^${OPEN}(\\d+)${CLOSE}`);

// Code (a run of backticks up to one of the same length), then formulas, then what a backslash escapes. No formula has an
// empty line in it, and none between backslashes another one's beginning: where many begin and none ends, each is looked
// for up to the next one only.
const INSIDE = String.raw`(?:(?!\n[ \t]*\n)[^])`;
const ROUND = within("\\(");
const SQUARE = within("\\[");
const CODE = "(?<!`)(`+)(?!`)[^]*?(?<!`)\\1(?!`)";
const DELIMITED = String.raw`\\\((?<round>${ROUND}+?)\\\)|\\\[(?<square>${SQUARE}+?)\\\]|\$\$(?<double>${INSIDE}+?)\$\$`;
// Pandoc's rules: no space inside the dollars, and no digit after the second one.
const SINGLE = String.raw`\$(?<single>(?![\s$])(?:[^$\\\n]|\\.|\n(?!\s*\n))*?(?<![\s\\]))\$(?![\d$])`;
const FIND = new RegExp(`${CODE}|${DELIMITED}|\\\\[^]`, "g");
const FIND_DOLLARS = new RegExp(`${CODE}|${DELIMITED}|${SINGLE}|\\\\[^]`, "g");

/** A formula that has lines of its own, as the lexer of blocks finds it. */
export const BLOCK = new RegExp(
  String.raw`^ {0,3}(?:\$\$(?<double>${INSIDE}+?)\$\$|\\\[(?<square>${SQUARE}+?)\\\])[ \t]*(?:\n|$)`,
);
/** A formula's beginning whose end has not arrived. */
export const OPEN_BLOCK = new RegExp(String.raw`^ {0,3}(?:\$\$|\\\[(?!${SQUARE}*\\\[))(?<tex>${INSIDE}*)$`);

/** What stands between a backslash with that bracket and one with the other; a backslash before another one ends a line. */
function within(bracket: string): string {
  return String.raw`(?:(?!\n[ \t]*\n)(?:\\(?:[^${bracket}\n]|(?=\n))|[^\\]))`;
}

/** The formulas of one answer; the same formula has the same number. */
export class Formulas {
  readonly #known: Formula[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #find: RegExp;

  constructor(dollars: boolean) {
    this.#find = dollars ? FIND_DOLLARS : FIND;
  }

  /** Return the text with a place for each formula. */
  hide(text: string): string {
    return text.replace(this.#find, (source: string, ...rest: unknown[]) => {
      const groups = rest.at(-1) as Record<string, string | undefined>;
      const tex = groups.round ?? groups.square ?? groups.double ?? groups.single;
      if (tex === undefined || !tex.trim()) return source;
      return this.#place({ tex: tex.trim(), display: groups.square !== undefined, source });
    });
  }

  /** Return a text as it was written. */
  restore(text: string): string {
    return text.replace(MARK, (_, number) => this.at(Number(number)).source);
  }

  at(number: number): Formula {
    return this.#known[number] ?? { tex: "", display: false, source: "" };
  }

  #place(formula: Formula): string {
    let number = this.#numbers.get(formula.source);
    if (number === undefined) {
      number = this.#known.push(formula) - 1;
      this.#numbers.set(formula.source, number);
    }
    return `${OPEN}${number}${CLOSE}`;
  }
}
