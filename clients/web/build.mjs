/** Bundles the page into the package, edgeline/phone/page/, with LiteRT.js for browsers with relaxed SIMD and others. */
import {createHash} from "node:crypto";
import {cp, mkdir, readFile, readdir, rm, writeFile} from "node:fs/promises";
import {build} from "esbuild";

const OUT = new URL("../../edgeline/phone/page/", import.meta.url).pathname;
const LITERT = new URL("node_modules/@litertjs/core/", import.meta.url).pathname;

// LiteRT.js 2.5.3 runs files with int8 inputs and outputs, but its table of types has no int8.
const int8 = {
  name: "int8",
  setup: (plugins) => plugins.onLoad({filter: /@litertjs\/core\/dist\/index\.js$/}, async ({path}) => {
    const source = await readFile(path, "utf8"), table = "var DATATYPES = Object.freeze([";
    if (source.split(table).length !== 2) throw new Error("LiteRT.js has another table of types: look at int8 again.");
    return {contents: source.replace(table, `${table}{dtype: "int8", typedArrayConstructor: Int8Array, elementType: ElementType.INT8},`)};
  }),
};

await rm(OUT, {recursive: true, force: true});
await mkdir(`${OUT}wasm`, {recursive: true});
await cp(new URL("static/", import.meta.url), OUT, {recursive: true});
for (const name of ["litert_wasm_internal", "litert_wasm_compat_internal"]) {
  for (const end of ["js", "wasm"]) await cp(`${LITERT}wasm/${name}.${end}`, `${OUT}wasm/${name}.${end}`);
}
const options = {bundle: true, minify: true, target: "es2022", legalComments: "inline", logLevel: "warning"};
await build({...options, entryPoints: ["src/page.ts"], outfile: `${OUT}page.js`, format: "esm", plugins: [int8]});

const files = (await readdir(OUT, {recursive: true, withFileTypes: true})).filter((entry) => entry.isFile())
  .map((entry) => `${entry.parentPath}/${entry.name}`.replace(/\/+/g, "/").slice(OUT.length)).sort();
const digest = createHash("sha256");
for (const file of files) digest.update(file).update(await readFile(OUT + file));
const define = {BUILD: JSON.stringify(digest.digest("hex").slice(0, 16)), FILES: JSON.stringify(["./", ...files.filter((file) => !file.startsWith("wasm/"))])};
await build({...options, entryPoints: ["src/worker.ts"], outfile: `${OUT}worker.js`, format: "iife", define});
