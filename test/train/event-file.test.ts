import { BinaryReader } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  crc32c,
  frameRecord,
  maskCrc,
  restartRecord,
  scalarsRecord,
  versionRecord,
} from "../../src/train/event-file.js";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("CRC-32C", () => {
  it("equals the vectors of RFC 3720 and the usual check value", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => 31 - index))).toBe(0x113fdb5c);
    expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
  });

  it("is masked by a rotation and a constant, which can be undone", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const rotated = (maskCrc(crc32c(bytes)) - 0xa282ead8) >>> 0;
        expect(((rotated >>> 17) | (rotated << 15)) >>> 0).toBe(crc32c(bytes));
      }),
    );
  });
});

type Event = {
  time: number;
  step?: number;
  version?: string;
  restarts: boolean;
  scalars: Record<string, number>;
};

/** Reads an event by the field numbers of event.proto and summary.proto. */
const readEvent = (data: Uint8Array): Event => {
  const reader = new BinaryReader(data);
  const event: Event = { time: Number.NaN, restarts: false, scalars: {} };
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) event.time = reader.double();
    else if (field === 2) event.step = Number(reader.int64());
    else if (field === 3) event.version = reader.string();
    else if (field === 7) event.restarts = [...reader.bytes()].join() === "8,1";
    else if (field === 5) {
      const summary = new BinaryReader(reader.bytes());
      while (summary.pos < summary.len) {
        summary.tag();
        const value = new BinaryReader(summary.bytes());
        value.tag();
        const tag = value.string();
        value.tag();
        event.scalars[tag] = value.float();
      }
    } else reader.skip(type);
  }
  return event;
};

const unframe = (record: Uint8Array): Uint8Array => {
  const view = new DataView(record.buffer, record.byteOffset);
  const length = Number(view.getBigUint64(0, true));
  expect(record.byteLength).toBe(length + 16);
  expect(view.getUint32(8, true)).toBe(maskCrc(crc32c(record.subarray(0, 8))));
  const data = record.subarray(12, 12 + length);
  expect(view.getUint32(12 + length, true)).toBe(maskCrc(crc32c(data)));
  return data;
};

describe("event files", () => {
  it("begin with the bytes that every TensorBoard file begins with", () => {
    const record = versionRecord(1_700_000_000);
    // Length 24, its masked checksum as TensorFlow writes it, then field 1 as a double.
    expect([...record.subarray(0, 13)]).toEqual([
      24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22, 9,
    ]);
    expect(readEvent(unframe(record))).toMatchObject({
      time: 1_700_000_000,
      version: "brain.Event:2",
    });
  });

  it("hold the numbers of a step, and where a resumed run takes over", () => {
    const event = readEvent(
      unframe(scalarsRecord(12.5, 7, { "train/loss": 0.75, rate: 2 ** -20 })),
    );
    expect(event).toMatchObject({
      time: 12.5,
      step: 7,
      scalars: { "train/loss": 0.75, rate: 2 ** -20 },
    });
    expect(readEvent(unframe(restartRecord(1, 300)))).toMatchObject({ step: 300, restarts: true });
  });

  it("frame any data so that a changed byte shows", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), (data, place) => {
        const record = frameRecord(data);
        expect([...unframe(record)]).toEqual([...data]);
        const stored = new DataView(record.buffer).getUint32(record.byteLength - 4, true);
        const changed = data.slice();
        changed[place % data.length] ^= 1;
        expect(maskCrc(crc32c(changed))).not.toBe(stored);
      }),
    );
  });
});
