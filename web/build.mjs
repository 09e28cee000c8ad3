/**
 * Build the chat page into the folder that is given: page.html, modules with hashed names, parts that load at first use,
 * widget.js for the pages of others, and the licences of what is in them. It says how much a reader loads before the first
 * paint, and fails if that is much.
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

/**
 * So much may be loaded for the text of an answer, for the page with its style, and in the page of somebody else, gzipped,
 * without what loads at first use.
 */
const TEXT_LIMIT = 27 * 1024;
const PAGE_LIMIT = 60 * 1024;
const WIDGET_LIMIT = 15 * 1024;

const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  logLevel: "warning",
  legalComments: "linked",
};

/**
 * Style sheets that are loaded by themselves: KaTeX's with its fonts, of each font only the form that every browser of today
 * reads, and that of an answer's text for the debug page.
 */
function sheets(outdir) {
  return build({
    ...common,
    entryPoints: { formula: "katex/dist/katex.min.css", rendered: "src/text/text.css" },
    outdir,
    write: false,
    loader: { ".woff2": "file", ".woff": "empty", ".ttf": "empty" },
  });
}

/** highlight.js in the form of modules: what joins the other form to them would be loaded with every module. */
const highlight = {
  name: "highlight",
  setup: ({ onLoad }) =>
    onLoad({ filter: /highlight\.js\/lib\// }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace("module.exports = ", "export default "),
    })),
};

function modules(entryPoints, outdir, formula, more = {}) {
  return build({
    ...common,
    entryPoints,
    outdir,
    write: false,
    metafile: true,
    format: "esm",
    splitting: true,
    plugins: [highlight],
    define: { FORMULA_STYLE: JSON.stringify(formula) },
    loader: { ".svg": "file" },
    ...more,
  });
}

/** The script that any page may load; its name stays. */
async function widget(outdir) {
  const one = { ...common, outdir, write: false, entryNames: "[name]", legalComments: "none" };
  const style = await build({ ...one, entryPoints: ["src/widget/widget.css"] });
  const define = { WIDGET_STYLE: JSON.stringify(style.outputFiles[0].text) };
  return build({ ...one, entryPoints: ["src/widget/widget.ts"], format: "iife", define });
}

/** What is loaded with a module: itself, its style, and what it imports at once; the module first. */
function loadedWith({ outputFiles, metafile }, name) {
  const outputs = Object.entries(metafile.outputs);
  const [entry, { cssBundle }] = outputs.find(([, { entryPoint }]) => entryPoint === name);
  const loaded = new Set();
  const load = (path) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: other, kind } of metafile.outputs[path].imports) if (kind === "import-statement") load(other);
  };
  load(entry);
  if (cssBundle) loaded.add(cssBundle);
  return [...loaded].map((path) => outputFiles.find((file) => basename(file.path) === basename(path)));
}

function measure(what, contents, limit) {
  const size = contents.reduce((sum, one) => sum + gzipSync(one, { level: 9 }).length, 0);
  console.log(`${what}: ${(size / 1024).toFixed(1)} KB gzipped, of at most ${limit / 1024}`);
  if (size <= limit) return;
  console.error("That is too much: a part that few readers need can load at first use.");
  process.exitCode = 1;
}

/** What the debug page loads has a name that stays: it leads to the module and the style of this build. */
function stable([entry], style) {
  return `export * from "./${basename(entry.path)}";\nexport const style = new URL("./${basename(style.path)}", import.meta.url).href;\n`;
}

/** The page names its style and its modules as they are named in the source; here they get the names they have. */
async function page([entry, ...others], before) {
  const style = others.find(({ path }) => path.endsWith(".css"));
  const modules = others.filter(({ path }) => path.endsWith(".js"));
  const preloads = modules.map(({ path }) => `<link rel="modulepreload" href="/chat-page/${basename(path)}">`);
  const source = await readFile("src/page.html", "utf8");
  return source
    .replace('<script src="first.ts">', `<script src="/chat-page/${basename(before.path)}">`)
    .replace('<link rel="stylesheet" href="main.css">', `<link rel="stylesheet" href="/chat-page/${basename(style.path)}">`)
    .replace('<script type="module" src="main.ts">', `${preloads.join("")}<script type="module" src="/chat-page/${basename(entry.path)}">`);
}

const outdir = process.argv[2];
const sheet = await sheets(outdir);
const sheetOf = (name) => sheet.outputFiles.find(({ path }) => basename(path).startsWith(`${name}-`) && path.endsWith(".css"));
const formula = `./${basename(sheetOf("formula").path)}`;

const text = await modules(["src/text/index.ts"], outdir, formula, { legalComments: "none" });
measure("The text of an answer", loadedWith(text, "src/text/index.ts").map(({ contents }) => contents), TEXT_LIMIT);

const main = await modules(["src/main.ts", "src/rendered.ts"], outdir, formula);
const early = await build({ ...common, entryPoints: ["src/first.ts"], outdir, write: false, format: "iife" });
const first = loadedWith(main, "src/main.ts");
const html = await page(first, early.outputFiles[0]);
measure("The page before its first paint", [html, ...[...early.outputFiles, ...first].map(({ contents }) => contents)], PAGE_LIMIT);

const embedded = await widget(outdir);
measure("The widget", [embedded.outputFiles[0].contents], WIDGET_LIMIT);

await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
await writeFile(join(outdir, "page.html"), html);
await writeFile(join(outdir, "rendered.js"), stable(loadedWith(main, "src/rendered.ts"), sheetOf("rendered")));
for (const { path, contents } of [...sheet.outputFiles, ...early.outputFiles, ...main.outputFiles, ...embedded.outputFiles]) {
  const place = join(outdir, basename(path));
  await writeFile(place, contents);
  // What is packed once is not packed for every reader.
  if (/\.(js|css)$/.test(place)) await writeFile(`${place}.gz`, gzipSync(contents, { level: 9 }));
}
