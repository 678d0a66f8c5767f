// Builds what every page needs besides the editor: the stylesheet with its fonts, the small modules, htmx, icons.
// Run by "npm run build"; writes into static/dist/ and refreshes static/icons/ from the lucide-static package.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const dist = join(here, "dist");

const targets = ["chrome123", "firefox121", "safari17.5"];

await mkdir(dist, { recursive: true });

await build({
  entryPoints: [join(here, "css/site.css"), join(here, "css/embed.css")],
  outdir: dist,
  bundle: true,
  minify: true,
  target: targets,
  external: ["*.woff2"],
  logLevel: "warning",
});

await mkdir(join(dist, "fonts"), { recursive: true });
for (const [family, file] of [
  ["inter", "inter-latin-wght-normal.woff2"],
  ["jetbrains-mono", "jetbrains-mono-latin-wght-normal.woff2"],
]) {
  await copyFile(require.resolve(`@fontsource-variable/${family}/files/${file}`), join(dist, "fonts", file));
}

// One file per page's script, its imports inside: the names in import statements would not get the hashes of collectstatic.
const modules = (await readdir(join(here, "js"))).filter((name) => name.endsWith(".js"));
await build({
  entryPoints: modules.map((name) => join(here, "js", name)),
  outdir: join(dist, "js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: targets,
  logLevel: "warning",
});

await copyFile(join(here, "csp-shim.js"), join(dist, "csp-shim.js"));

const htmx = dirname(require.resolve("htmx.org/package.json"));
await copyFile(join(htmx, "dist/htmx.min.js"), join(dist, "htmx.js"));

// Icons are committed, so that templates render before any build; this only brings them up to date.
const lucide = dirname(require.resolve("lucide-static/package.json"));
const names = (await readFile(join(here, "icons/names.txt"), "utf8")).split(/\s+/).filter(Boolean);
for (const name of names) {
  const svg = await readFile(join(lucide, "icons", `${name}.svg`), "utf8");
  const drawing = svg.replace(/<!--.*?-->/gs, "").replace(/\s*\n\s*/g, " ").replace(/ \/>/g, "/>").trim();
  await writeFile(join(here, "icons", `${name}.svg`), drawing.replace(/> </g, "><") + "\n");
}
await copyFile(join(lucide, "LICENSE"), join(here, "icons/LICENSE"));
