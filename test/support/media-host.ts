import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Another host, on this machine: answers paths by name. */
export const startMediaHost = async (
  routes: Readonly<Record<string, (response: ServerResponse, port: number) => void>>,
) => {
  const asked: string[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    asked.push(`${request.headers.host} ${request.url}`);
    const route = routes[request.url ?? ""];
    if (route === undefined) response.writeHead(404).end();
    else route(response, (server.address() as AddressInfo).port);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    /** Host names and paths that were asked for. */
    asked,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
};
