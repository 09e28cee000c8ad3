/** What an answer shows, and what its controls do. */

import { afterEach, describe, expect, it, vi } from "vitest";

import { coloured } from "../../src/text/code.js";
import { copied, plain } from "../../src/text/copy.js";
import { drawn } from "../../src/text/math.js";
import { begin, streamed, whole } from "../support/answers.js";

afterEach(() => void vi.restoreAllMocks());

function range(element: Element): Range {
  const all = document.createRange();
  all.selectNodeContents(element);
  return all;
}

describe("a text that arrives in pieces", () => {
  it("joins the halves of a character and of a line's end", () => {
    const { piece, element, answer } = begin();
    for (const part of ["a\ud83d", "\ude00b\r", "\nc\r\n\r", "\nd"]) piece(part);
    answer.end();
    expect(element.innerHTML).toBe('<p dir="auto">a😀b\nc</p><p dir="auto">d</p>');
    expect(answer.markdown()).toBe("a😀b\nc\n\nd");
  });

  it("is drawn once for all pieces of a frame, and takes none after its end", () => {
    const frames: (() => void)[] = [];
    const { answer, element } = begin({ frame: (draw) => frames.push(draw) });
    answer.append("a");
    answer.append("b");
    expect([frames.length, element.textContent]).toEqual([1, ""]);
    frames[0]!();
    expect(element.textContent).toBe("ab");
    answer.append("c");
    answer.end();
    answer.append("d");
    frames[1]!();
    expect(element.textContent).toBe("abc");
  });

  it("waits four times as long as a draw took that was too slow", () => {
    vi.useFakeTimers();
    const frames: (() => void)[] = [];
    const { answer } = begin({ frame: (draw) => frames.push(draw), budget: 8 });
    const times = [0, 20];
    vi.spyOn(performance, "now").mockImplementation(() => times.shift() ?? 20);
    answer.append("a ");
    times.unshift(0);
    frames.shift()!();
    answer.append("*b*");
    expect(frames).toHaveLength(0);
    vi.advanceTimersByTime(79);
    expect(frames).toHaveLength(0);
    vi.advanceTimersByTime(1);
    expect(frames).toHaveLength(1);
    vi.useRealTimers();
  });

  it("keeps what is selected until its end and after it", () => {
    const { piece, element, answer } = begin();
    piece("One **word** is here");
    const text = element.querySelector("strong")!.firstChild!;
    for (const part of [", and *more", "* comes.\n", "\nNext"]) piece(part);
    answer.end();
    expect(element.querySelector("strong")!.firstChild).toBe(text);
  });
});

describe("what a text means", () => {
  it("has bold that Chinese punctuation does not break", () => {
    const bold = (text: string) => [...whole(text).querySelectorAll("strong")].map((node) => node.textContent);
    expect(bold("中国的**发展，**年轻人")).toEqual(["发展，"]);
    expect(bold("他说**“引号”**吗，**（一）**是**《书》**")).toEqual(["“引号”", "（一）", "《书》"]);
    expect(bold("한국어**“인용”**은 **이것.**입니다")).toEqual(["“인용”", "이것."]);
    expect(bold("2 ** 3 ** 4, a**\"b\"**c")).toEqual([]);
  });

  it("takes single dollars for money unless they are to be formulas", () => {
    const formulas = (text: string, dollars: boolean) => [...whole(text, { dollars }).querySelectorAll(".math")].map((node) => node.getAttribute("data-source"));
    expect(formulas("costs $5 and $10", false)).toEqual([]);
    expect(formulas("costs $5 and $10, $ x$ and $x $", true)).toEqual([]);
    expect(formulas("so $x_1$ and `$y$` and \\$z$", true)).toEqual(["$x_1$"]);
    expect(formulas("so $x_1$, \\(y*z*\\) and [$$a$$](https://a.test)", false)).toEqual(["\\(y*z*\\)", "$$a$$"]);
  });

  it("has tasks whose boxes are named by their text", () => {
    const boxes = [...whole("- [ ] open **one**\n- [x] done\n\n- [X] loose").querySelectorAll("input")];
    expect(boxes.map(({ checked, disabled, labels }) => [checked, disabled, labels![0]!.textContent])).toEqual([
      [false, true, "open one"], [true, true, "done"], [true, true, "loose"],
    ]);
  });

  it("has notes at its end, in order, with ways back", () => {
    const element = streamed("One[^b] two[^1] three[^b]. [^none]\n\n[^1]: First\n\n    still\n[^b]: *Second*");
    const notes = [...element.querySelectorAll(".notes li")];
    expect(notes.map((note) => note.textContent)).toEqual(["Second↩↩", "Firststill↩"]);
    expect([...element.querySelectorAll(".reference")].map((node) => node.textContent)).toEqual(["1", "2", "1", "[^none]"]);
    const ids = [...element.querySelectorAll("[id]")].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const link of element.querySelectorAll('a[href^="#"]')) expect(element.querySelector(`[id="${link.getAttribute("href")!.slice(1)}"]`)).not.toBeNull();
  });

  it("goes on beside a list that is full, with its numbers, all tight or all loose", () => {
    const { piece, element, answer } = begin();
    for (let n = 5; n < 205; n++) piece(`${n}. item\n`);
    const lists = [...element.querySelectorAll("ol")];
    expect(lists.map(({ start, childElementCount }) => [start, childElementCount])).toEqual([[5, 64], [69, 64], [133, 64], [197, 8]]);
    // Three digits have more room than two.
    expect(lists.map(({ style }) => style.getPropertyValue("--more"))).toEqual(["", "1", "1", "1"]);
    expect(plain(element).trim()).toBe(Array.from({ length: 200 }, (_, n) => `${n + 5}. item`).join("\n"));
    expect(copied(range(element)).html).toContain('<ol start="69"><li><p>item</p></li>');
    expect(lists.every((list) => list.matches("ol.tight:not(.loose)"))).toBe(true);
    for (const text of ["\n205. loose\n", "\n206. loose\n", "\nThe end."]) piece(text);
    answer.end();
    expect(lists.every((list) => list.matches("ol.loose:not(.tight)"))).toBe(true);
    expect(element.lastChild!.textContent).toBe("The end.");
  });

  it("goes on in another body of a table that is full", () => {
    const { piece, element, answer } = begin();
    for (const text of ["| a |\n", "|---|\n", ...Array.from({ length: 150 }, (_, n) => `| ${n} |\n`), "\nThe end."]) piece(text);
    answer.end();
    expect([...element.querySelectorAll<HTMLTableSectionElement>("tbody:not(.group)")].map(({ rows }) => rows.length)).toEqual([64, 64, 22]);
    expect([...element.querySelectorAll("td")].map(({ textContent }) => textContent)).toEqual(Array.from({ length: 150 }, (_, n) => `${n}`));
  });

  it("has the first of two notes with the same label, at any character of the second", () => {
    const { piece, element, answer } = begin();
    for (const text of ["One[^a]\n\n[^a]: The [first][l]\n", ..."[^A]: The second\n\n> [^a]: The third\n\n[l]: https://a.test\n"]) {
      piece(text);
      expect([...element.querySelectorAll(".notes li")].map((note) => note.textContent)[0]).toMatch(/^The \[?first/);
    }
    answer.end();
    expect([...element.querySelectorAll(".notes li")].map((note) => note.textContent)).toEqual(["The first↩"]);
    expect(element.querySelector(".notes a")!.getAttribute("href")).toBe("https://a.test/");
  });

  it("links what was written before the target was known, and only that is drawn again", () => {
    const { piece, element, answer } = begin();
    const text = "See [the page][p].\n\n- an [item][p]\n- two\n\n| [cell][p] |\n|---|\n| [row][p] |\n\nOther text.\n\n";
    for (const character of text) piece(character);
    const other = element.lastChild;
    for (const character of "[p]: https://a.test/ \"T\"\n\nEnd") piece(character);
    answer.end();
    expect([...element.querySelectorAll("a")].map((link) => [link.textContent, link.href, link.title])).toEqual(
      ["the page", "item", "cell", "row"].map((name) => [name, "https://a.test/", "T"]),
    );
    expect(element.contains(other)).toBe(true);
  });

  it("gives every block its own direction, and code none", () => {
    const element = whole("# a\n\nb\n\n- c\n\n> d\n\n| e |\n|---|\n| f |\n\n`g`\n\n```\nh\n```");
    expect([...element.querySelectorAll("h2, p, li, blockquote, th, td")].every((node) => node.getAttribute("dir") === "auto")).toBe(true);
    expect([...element.querySelectorAll(".code, p code")].map((node) => [node.getAttribute("dir"), node.getAttribute("translate")])).toEqual([["ltr", "no"], ["ltr", "no"]]);
  });
});

describe("a block of code", () => {
  const LINES = Array.from({ length: 70 }, (_, n) => `x = "${n}" # <&>\n`).join("");

  it("is in pieces of 32 lines, and is coloured when its fence is closed, without another text", async () => {
    const { piece, element, answer } = begin();
    piece(`\`\`\`py title\n${LINES}`);
    expect([...element.querySelectorAll(".lines")].map((lines) => lines.textContent!.split("\n").length - 1)).toEqual([32, 32, 6]);
    expect(element.querySelector("[class^=hljs]")).toBeNull();
    piece("```\n");
    await coloured();
    answer.end();
    expect(element.querySelectorAll(".lines .hljs-string")).toHaveLength(70);
    expect(element.querySelector("pre")!.textContent).toBe(LINES);
    expect(element.querySelector(".name")!.textContent).toBe("py");
  });

  it("has no colours without a language, with one that is not known, and with more than 2,000 lines", async () => {
    const element = whole(`\`\`\`\nx = 1\n\`\`\`\n\n\`\`\`nonsense\nx = 1\n\`\`\`\n\n\`\`\`py\n${"x = 1\n".repeat(2001)}\`\`\``);
    await coloured();
    expect(element.querySelector("[class^=hljs]")).toBeNull();
  });

  it("is copied exactly, and says so", async () => {
    const element = document.createElement("div");
    document.body.replaceChildren(element);
    const said: string[] = [];
    const { answer, element: shown } = begin({ announce: (text) => said.push(text) });
    answer.set("- a\n\n  ```sh\n  one <b>\n    two\n  ```");
    let text = "";
    document.execCommand = () => {
      text = (document.activeElement as HTMLTextAreaElement).value;
      return true;
    };
    shown.querySelector<HTMLElement>("button.copy")!.click();
    await vi.waitFor(() => expect(said).toEqual(["Copied"]));
    expect(text).toBe("one <b>\n  two");
  });

  it("wraps its lines when asked", () => {
    const element = whole("```\na\n```");
    const button = element.querySelector<HTMLElement>("button.wrap")!;
    button.click();
    expect([element.querySelector(".code")!.className, button.getAttribute("aria-pressed")]).toEqual(["code wraps", "true"]);
  });
});

describe("a formula", () => {
  it("is drawn when it is complete, and stays code if it cannot be read", async () => {
    const element = streamed("So \\(\\frac{1}{2}\\) and\n\n$$\n\\nonsense{\n$$\n\nend");
    await drawn();
    const [good, bad] = element.querySelectorAll(".math");
    expect(good!.querySelector(".katex-html")).not.toBeNull();
    expect(bad!.innerHTML).toBe("<code>\\nonsense{</code>");
  });
});

describe("what is copied", () => {
  const TEXT = "# T\n\nSo **b** [l](https://a.test) \\(x^2\\):\n\n- one\n  - in\n- two\n\n1. a\n\n   b\n\n```py\nx = 1\n\ny\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |";

  it("is text with the lines that are seen", () => {
    expect(plain(whole(TEXT)).trim()).toBe("T\n\nSo b l \\(x^2\\):\n\n- one\n  - in\n- two\n\n1. a\n\nb\n\nx = 1\n\ny\n\na\tb\n1\t2");
  });

  it("is HTML without this page's classes and controls", () => {
    const { html } = copied(range(whole(TEXT)));
    expect(html).not.toMatch(/class|button|style|dir|Copy|Wrap/);
    expect(html).toContain('<a href="https://a.test/">l</a> \\(x^2\\):');
  });

  it("in code is only code", () => {
    const element = whole("```py\nif x:\n    y\n```");
    expect(copied(range(element.querySelector("code")!)).text).toBe("if x:\n    y\n");
  });
});

it("a long answer stands in parts, with its notes behind them", () => {
  const { piece, answer, element } = begin();
  const text = `${Array.from({ length: 200 }, (_, n) => `Paragraph ${n}.[^1]\n\n`).join("")}[^1]: the note\n`;
  for (const line of text.split(/(?<=\n)/)) piece(line);
  answer.end();
  const blocks = [...element.querySelectorAll(".part, .answer")].map((one) => one.childElementCount);
  expect(Math.max(element.childElementCount, ...blocks)).toBeLessThan(80);
  expect(element.querySelectorAll(".part").length).toBeGreaterThan(1);
  expect(element.lastElementChild!.className).toBe("notes");
  expect(element.textContent).toBe(whole(text).textContent);
});

const LONG: [string, string, (n: number) => string, string][] = [
  ["a long answer", "", (n) => `Paragraph ${n}.\n\n`, "p"],
  ["a long list", "", (n) => `- item ${n}\n`, "li"],
  ["a long table", "| a |\n|---|\n", (n) => `| cell ${n} |\n`, "td"],
  ["long code", "```\n", (n) => `line ${n}\n`, ".lines"],
];

it.each(LONG)("few parts of %s stand side by side, in their order", (_, head, make, each) => {
  const all = Array.from({ length: 2_300 }, (_, n) => make(n));
  const { piece, answer, element } = begin();
  for (const text of [head, ...all]) piece(text);
  answer.end();
  const parts = [element, ...element.querySelectorAll("*")].map(({ children }) => [...children].filter((one) => one.matches(".full, .group")).length);
  expect(Math.max(...parts)).toBeLessThanOrEqual(16);
  expect(element.querySelectorAll(".full").length).toBeGreaterThan(30);
  const words = [...element.querySelectorAll(each)].map(({ textContent }) => textContent!.trim()).join("\n");
  expect(words).toBe(all.map((text) => text.replace(/^- |\|/g, "").trim()).join("\n"));
});
