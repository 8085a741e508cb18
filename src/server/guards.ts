/** Who may ask, from where, and with what: everything that is decided before a body is read. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { ApiError } from "./api/api-error.js";

export type GuardOptions = {
  readonly apiKeys: readonly string[];
  /** Host names by which the server may be asked; any, where absent. */
  readonly hosts?: ReadonlySet<string>;
  /** Further paths that need no key: those of the page, which asks for one. */
  readonly openPaths?: Iterable<string>;
};

const digestOf = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Checks keys in the same time whether they are right or wrong; returns a name for the right one. */
export const createKeyCheck = (apiKeys: readonly string[]) => {
  const digests = apiKeys.map(digestOf);
  return (given: string): string | undefined => {
    const digest = digestOf(given);
    let name: string | undefined;
    digests.forEach((known, index) => {
      if (timingSafeEqual(known, digest)) name = `key ${index}`;
    });
    return name;
  };
};

const bearerOf = (context: Context): string =>
  /^Bearer +(.+)$/i.exec(context.req.header("authorization") ?? "")?.[1] ?? "";

/** Paths that tell nothing of anybody's requests. */
const alwaysOpen = ["/health", "/v1/health", "/openapi.json"];

/**
 * Refuses requests without a key where keys are asked for. Without keys, a server that only this
 * machine can reach still answers only by its own names: a web page can make its own host name lead
 * here (DNS rebinding), but not change the name that the browser then sends.
 */
export const createGuard = (options: GuardOptions): MiddlewareHandler => {
  const { apiKeys, hosts } = options;
  const openPaths = new Set([...alwaysOpen, ...(options.openPaths ?? [])]);
  const checkKey = createKeyCheck(apiKeys);
  return async (context, next) => {
    const name = new URL(context.req.url).hostname;
    if (hosts !== undefined && !hosts.has(name)) {
      throw new ApiError(403, `This server is not "${name}".`, {
        type: "permission_error",
        code: "host_not_allowed",
      });
    }
    if (apiKeys.length === 0) {
      context.set("scope", `address ${context.get("address")}`);
    } else {
      const key = checkKey(bearerOf(context));
      if (key === undefined && !openPaths.has(context.req.path)) {
        context.header("www-authenticate", "Bearer");
        throw new ApiError(401, "A valid API key is needed (Authorization: Bearer …).", {
          type: "authentication_error",
          code: "invalid_api_key",
        });
      }
      context.set("scope", key ?? "");
    }
    await next();
  };
};

/**
 * Bodies are JSON and say so. A page of another origin can send other types without asking the server
 * first, so this also keeps such pages out.
 */
export const requireJson = (context: Context): void => {
  const type = context.req.header("content-type") ?? "";
  if (/^application\/([\w.+-]+\+)?json\b/i.test(type)) return;
  throw new ApiError(415, `The body must be application/json, got "${type}".`, {
    type: "invalid_request_error",
    code: "unsupported_media_type",
  });
};
