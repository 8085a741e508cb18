import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import {
  isInNetworks,
  isPublicAddress,
  parseNetworks,
} from "../../src/server/media/private-addresses.js";

describe("an address of the public internet", () => {
  test.each([
    "1.1.1.1",
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
  ])("is %s", (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });

  test.each([
    "0.0.0.0",
    "10.255.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2002:7f00:1::",
    "2001:db8::1",
    "localhost",
    "",
  ])("is not %s", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});

describe("networks that are opened", () => {
  test("hold what lies in them", () => {
    const networks = parseNetworks(["10.1.0.0/16", "127.0.0.1", "fd00::/8"]);
    for (const address of ["10.1.2.3", "127.0.0.1", "fd12::1"]) {
      expect(isInNetworks(networks, address)).toBe(true);
    }
    for (const address of ["10.2.0.1", "127.0.0.2", "fe80::1"]) {
      expect(isInNetworks(networks, address)).toBe(false);
    }
  });

  test.each(["here", "10.0.0.0/33", "10.0.0.0/x", "fd00::/129", ""])("are refused: %s", (text) => {
    expect(() => parseNetworks([text])).toThrow(OptionsError);
  });
});
