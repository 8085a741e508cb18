/**
 * TensorBoard's event files: records framed as TFRecord (tensorflow/core/lib/io/record_writer.cc) with
 * masked CRC-32C checksums, each an `Event` message (tensorflow/core/util/event.proto).
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** CRC-32C (Castagnoli, reflected polynomial), RFC 3720 appendix B.4. */
const castagnoli = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? castagnoli : 0);
  return value;
});

/** CRC-32C of `bytes`, unsigned. */
export const crc32c = (bytes: Uint8Array): number => {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
};

/** A checksum as TFRecord stores it, so that checksums of checksums stay strong (lib/hash/crc32c.h). */
export const maskCrc = (crc: number): number => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;

/** One TFRecord: length (uint64), its checksum, the data, its checksum; all little-endian. */
export const frameRecord = (data: Uint8Array): Uint8Array => {
  const record = new Uint8Array(data.byteLength + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.byteLength), true);
  view.setUint32(8, maskCrc(crc32c(record.subarray(0, 8))), true);
  record.set(data, 12);
  view.setUint32(12 + data.byteLength, maskCrc(crc32c(data)), true);
  return record;
};

/** Field numbers of `Event`, `Summary.Value` and `SessionLog`. */
const fields = {
  event: { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 },
  summary: { value: 1 },
  value: { tag: 1, simpleValue: 2 },
  sessionLog: { status: 1 },
} as const;
const sessionStart = 1;

const startEvent = (wallTimeSeconds: number, step: number): BinaryWriter =>
  new BinaryWriter()
    .tag(fields.event.wallTime, WireType.Bit64)
    .double(wallTimeSeconds)
    .tag(fields.event.step, WireType.Varint)
    .int64(step);

/** The first record of every event file. */
export const versionRecord = (wallTimeSeconds: number): Uint8Array =>
  frameRecord(
    new BinaryWriter()
      .tag(fields.event.wallTime, WireType.Bit64)
      .double(wallTimeSeconds)
      .tag(fields.event.fileVersion, WireType.LengthDelimited)
      .string("brain.Event:2")
      .finish(),
  );

/** Tells TensorBoard to forget what earlier files say about `step` and later ones. */
export const restartRecord = (wallTimeSeconds: number, step: number): Uint8Array => {
  const event = startEvent(wallTimeSeconds, step);
  event.tag(fields.event.sessionLog, WireType.LengthDelimited).fork();
  event.tag(fields.sessionLog.status, WireType.Varint).int32(sessionStart).join();
  return frameRecord(event.finish());
};

/** Numbers of one step, by tag. */
export const scalarsRecord = (
  wallTimeSeconds: number,
  step: number,
  scalars: Readonly<Record<string, number>>,
): Uint8Array => {
  const event = startEvent(wallTimeSeconds, step);
  event.tag(fields.event.summary, WireType.LengthDelimited).fork();
  for (const [tag, value] of Object.entries(scalars)) {
    event.tag(fields.summary.value, WireType.LengthDelimited).fork();
    event.tag(fields.value.tag, WireType.LengthDelimited).string(tag);
    event.tag(fields.value.simpleValue, WireType.Bit32).float(value).join();
  }
  return frameRecord(event.join().finish());
};
