// Loaded before a driver (`node --import`): lets `import "a-package"` in this folder find what scripts/peers installed.
import { registerHooks } from "node:module";
import { pathToFileURL } from "node:url";

const here = new URL(".", import.meta.url).href;
const packages = pathToFileURL(process.env.PEERS + "/node/driver.mjs").href;

registerHooks({
  resolve(specifier, context, next) {
    const bare = !/^[./]|^[a-z]+:/.test(specifier);
    return next(specifier, bare && context.parentURL?.startsWith(here) ? { ...context, parentURL: packages } : context);
  },
});
