// Which large libraries has this document loaded? Each comes with the first output that needs it.

const loading = new Map<string, Promise<void>>();

export function addressOf(name: "plotly" | "bokeh" | "bokehWidgets" | "bokehTables"): string {
  return document.documentElement.dataset[name] ?? "";
}

export function load(address: string): Promise<void> {
  let promise = loading.get(address);
  if (!promise) {
    promise = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => resolve();
      script.onerror = () => {
        loading.delete(address);
        reject(new Error("A part of the page that draws charts did not load. Reload the page."));
      };
      document.head.append(script);
    });
    loading.set(address, promise);
  }
  return promise;
}
