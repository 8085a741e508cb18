/**
 * Media from other hosts, for servers that allow it. A request for such a medium makes the server ask
 * another host in its own name, so everything is refused that was not allowed: hosts by name, addresses
 * after resolution (the one that was checked is the one that is connected to), each redirect anew.
 */
import { lookup } from "node:dns";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { ApiError, invalidRequest } from "../api/api-error.js";
import { isInNetworks, isPublicAddress, parseNetworks } from "./private-addresses.js";

export type Resolve = (host: string) => Promise<readonly string[]>;

export type RemoteMediaOptions = {
  /** Hosts that may be asked, as `images.example.org` or `example.org:8080`; none by default. */
  readonly allowedDomains: readonly string[];
  /** Private addresses or ranges that may be asked none the less. */
  readonly allowedAddresses?: readonly string[];
  readonly maxBytes: number;
  readonly maxRedirects?: number;
  /** How a host's addresses are found; the system's resolver when absent. */
  readonly resolve?: Resolve;
};

export type FetchMedia = (
  url: string,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal; readonly param: string },
) => Promise<Uint8Array>;

const resolveBySystem: Resolve = (host) =>
  new Promise((resolve, reject) => {
    lookup(host, { all: true, verbatim: true }, (error, addresses) => {
      if (error) reject(error);
      else resolve(addresses.map(({ address }) => address));
    });
  });

const unbracketed = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

/** What is the other host's fault, or the network's. */
const fetchFailed = (reason: string, param: string, cause?: unknown): ApiError =>
  new ApiError(
    400,
    `The medium could not be fetched: ${reason}.`,
    { type: "invalid_request_error", code: "media_fetch_failed", param },
    { cause },
  );

export const createRemoteMedia = ({
  allowedDomains,
  allowedAddresses = [],
  maxBytes,
  maxRedirects = 3,
  resolve = resolveBySystem,
}: RemoteMediaOptions): FetchMedia => {
  const allowed = new Set(allowedDomains.map((domain) => domain.toLowerCase()));
  const opened = parseNetworks(allowedAddresses);
  const denied = (message: string, param: string): ApiError =>
    new ApiError(403, message, { type: "permission_error", code: "media_not_allowed", param });

  const checkAddress = (address: string, param: string): void => {
    if (isPublicAddress(address) || isInNetworks(opened, address)) return;
    throw denied("The medium's host has a private address, which this server does not ask.", param);
  };

  const checkUrl = (url: URL, param: string): void => {
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw denied(`Media come by http or https, got "${url.protocol}".`, param);
    }
    if (url.username !== "" || url.password !== "") {
      throw denied("A medium's address must not hold a user name or password.", param);
    }
    // `host` has the port where it is not the protocol's own.
    if (!allowed.has(url.host) || url.hostname.endsWith(".")) {
      throw denied(
        `The host "${url.host}" is not among those that this server may fetch media from; send the medium as a data URL or an upload.`,
        param,
      );
    }
  };

  /** The addresses of a host, every one of them checked. */
  const findAddresses = async (host: string, param: string): Promise<readonly string[]> => {
    const name = unbracketed(host);
    const addresses =
      isIP(name) > 0
        ? [name]
        : await resolve(name).catch((cause: unknown) => {
            throw fetchFailed(`the host "${name}" has no address`, param, cause);
          });
    if (addresses.length === 0) throw fetchFailed(`the host "${name}" has no address`, param);
    for (const address of addresses) checkAddress(address, param);
    return addresses;
  };

  const ask = (
    url: URL,
    addresses: readonly string[],
    signal: AbortSignal,
  ): Promise<IncomingMessage> =>
    new Promise((fulfil, reject) => {
      // The connection goes to an address that was checked; the name is not resolved again.
      const given = addresses.map((address) => ({ address, family: isIP(address) }));
      const pinned: LookupFunction = (_, options, callback) => {
        if (options.all) callback(null, given);
        else callback(null, given[0].address, given[0].family);
      };
      const request = url.protocol === "https:" ? requestHttps : requestHttp;
      const headers = { accept: "image/*, video/*", "user-agent": "saccade" };
      request(url, { lookup: pinned, signal, headers, agent: false })
        .on("response", fulfil)
        .on("error", reject)
        .end();
    });

  const readBody = async (response: IncomingMessage, param: string): Promise<Uint8Array> => {
    const tooLarge = () =>
      invalidRequest(
        `A medium may have ${maxBytes} bytes, the one at the address has more.`,
        "limit_exceeded",
        param,
      );
    if (Number(response.headers["content-length"] ?? 0) > maxBytes) throw tooLarge();
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of response as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > maxBytes) throw tooLarge();
      parts.push(part);
    }
    return Buffer.concat(parts);
  };

  return async (address, { timeoutMs, signal, param }) => {
    const timeout = AbortSignal.timeout(timeoutMs);
    const either = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    let url: URL;
    try {
      url = new URL(address);
    } catch {
      throw invalidRequest("The address of a medium must be a URL.", "invalid_url", param);
    }
    let response: IncomingMessage | undefined;
    try {
      for (let redirects = 0; ; redirects += 1) {
        checkUrl(url, param);
        const addresses = await findAddresses(url.hostname, param);
        response = await ask(url, addresses, either);
        const { statusCode = 0, headers } = response;
        if (statusCode >= 300 && statusCode < 400 && headers.location !== undefined) {
          response.destroy();
          if (redirects >= maxRedirects) throw fetchFailed("too many redirects", param);
          url = new URL(headers.location, url);
          continue;
        }
        if (statusCode !== 200) throw fetchFailed(`its host answered ${statusCode}`, param);
        return await readBody(response, param);
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ApiError) throw error;
      if (timeout.aborted) throw fetchFailed(`it took longer than ${timeoutMs} ms`, param, error);
      throw fetchFailed("the connection failed", param, error);
    } finally {
      response?.destroy();
    }
  };
};
