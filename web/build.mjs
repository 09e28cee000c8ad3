/**
 * Build the chat page into the folder that is given: modules with hashed names, parts that load at first use, and the
 * licences of what is in them. With --sizes, say how much a reader loads for the text of an answer.
 */

import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

/** The text of an answer may weigh so much, gzipped, without what loads at first use. */
const TEXT_LIMIT = 26 * 1024;

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

/** KaTeX's style sheet with its fonts; of each font only the form that every browser of today reads. */
function style(outdir) {
  return build({
    ...common,
    entryPoints: { formula: "katex/dist/katex.min.css" },
    outdir,
    write: false,
    loader: { ".woff2": "file", ".woff": "empty", ".ttf": "empty" },
  });
}

function modules(entryPoints, outdir, formula, more = {}) {
  return build({
    ...common,
    entryPoints,
    outdir,
    write: false,
    metafile: true,
    format: "esm",
    splitting: true,
    define: { FORMULA_STYLE: JSON.stringify(formula) },
    loader: { ".svg": "file" },
    ...more,
  });
}

function sizeOf({ outputFiles, metafile }, name) {
  const outputs = Object.entries(metafile.outputs);
  const [entry] = outputs.find(([, { entryPoint }]) => entryPoint === name);
  const loaded = new Set();
  const load = (path) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: other, kind } of metafile.outputs[path].imports) if (kind === "import-statement") load(other);
  };
  load(entry);
  const files = outputFiles.filter(({ path }) => [...loaded].some((one) => basename(one) === basename(path)));
  return files.reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);
}

const outdir = process.argv[2];
const sheet = await style(outdir);
const formula = `./${basename(sheet.outputFiles.find(({ path }) => path.endsWith(".css")).path)}`;

const text = await modules(["src/text/index.ts"], outdir, formula, { legalComments: "none" });
const size = sizeOf(text, "src/text/index.ts");
console.log(`The text of an answer: ${(size / 1024).toFixed(1)} KB gzipped, of at most ${TEXT_LIMIT / 1024}`);
if (size > TEXT_LIMIT) {
  console.error("That is too much: a part that few answers need can load at first use.");
  process.exitCode = 1;
}

const page = existsSync("src/main.ts") ? await modules(["src/main.ts"], outdir, formula) : text;
const files = [...sheet.outputFiles, ...page.outputFiles];
await rm(outdir, { recursive: true, force: true });
await mkdir(outdir, { recursive: true });
for (const { path, contents } of files) await writeFile(join(outdir, basename(path)), contents);
