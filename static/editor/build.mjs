// Builds the workspace: its page script, the editor with its worker, and the output frame with its libraries.
// Run by "npm run build"; writes into static/dist/.
import { build } from "esbuild";
import { copyFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const dist = join(here, "../dist");
const target = ["chrome123", "firefox121", "safari17.5"];
const common = { bundle: true, minify: true, target, legalComments: "none", logLevel: "warning" };

await mkdir(dist, { recursive: true });

await Promise.all([
  build({ ...common, entryPoints: [join(here, "workspace.ts")], outfile: join(dist, "workspace.js"), format: "esm" }),
  build({ ...common, entryPoints: [join(here, "../css/workspace.css")], outfile: join(dist, "workspace.css") }),
  // The page loads the editor by its hashed address, so it is one file with its own stylesheet and font.
  build({
    ...common,
    entryPoints: [join(here, "editor.ts")],
    outfile: join(dist, "editor.js"),
    format: "esm",
    loader: { ".ttf": "file" },
    assetNames: "[name]",
    // Newer entry points and the classic one must be the same copy of Monaco.
    alias: { "monaco-editor/esm/vs/editor/editor.api.js": "monaco-editor/editor" },
  }),
  build({ ...common, entryPoints: ["monaco-editor/editor/editor.worker"], absWorkingDir: join(here, "../.."), outfile: join(dist, "editor.worker.js"), format: "iife" }),
  // The frame has no origin: its scripts are classic ones, as modules would need permission to be read.
  build({ ...common, entryPoints: [join(here, "frame/frame.ts")], outfile: join(dist, "frame.js"), format: "iife" }),
  build({ ...common, entryPoints: [join(here, "frame/frame.css")], outfile: join(dist, "frame.css"), external: ["*.woff2"] }),
]);

const packageFolder = (name) => dirname(require.resolve(`${name}/package.json`));
await Promise.all([
  copyFile(join(packageFolder("plotly.js-strict-dist-min"), "plotly-strict.min.js"), join(dist, "plotly.js")),
  ...["bokeh", "bokeh-widgets", "bokeh-tables"].map((name) =>
    copyFile(join(packageFolder("@bokeh/bokehjs"), "build/js", `${name}.min.js`), join(dist, `${name}.js`)),
  ),
]);
