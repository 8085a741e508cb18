import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRecordScanner, type RecordSpan } from "../../src/data/record-spans.js";

/** The spans of `text`, pushed in pieces of `pieceBytes`. */
const scan = (text: string, pieceBytes = 1 << 20) => {
  const bytes = new TextEncoder().encode(text);
  const spans: RecordSpan[] = [];
  const scanner = createRecordScanner((span) => spans.push(span));
  for (let at = 0; at < bytes.length; at += pieceBytes)
    scanner.push(bytes.subarray(at, at + pieceBytes));
  scanner.finish();
  return spans.map(({ start, end, line, fault }) => ({
    text: new TextDecoder().decode(bytes.subarray(start, end)),
    line,
    ...(fault && { fault }),
  }));
};

const anyRecords = fc.array(
  fc.record({ id: fc.jsonValue(), value: fc.string({ unit: "binary" }), list: fc.jsonValue() }),
);

describe("the spans of valid files", () => {
  test("are the array's elements, however the array is laid out and the bytes are cut", () => {
    fc.assert(
      fc.property(
        anyRecords,
        fc.constantFrom(undefined, 1, "\t"),
        fc.integer({ min: 1, max: 40 }),
        (records, indent, pieceBytes) => {
          const spans = scan(JSON.stringify(records, undefined, indent), pieceBytes);
          expect(spans.map(({ text }) => JSON.parse(text))).toEqual(
            records.map((record) => JSON.parse(JSON.stringify(record))),
          );
          expect(spans.every(({ fault }) => fault === undefined)).toBe(true);
        },
      ),
    );
  });

  test("are the lines, blank ones left out but counted", () => {
    fc.assert(
      fc.property(
        anyRecords,
        fc.constantFrom("\n", "\r\n", "\n\n", "\n  \n"),
        fc.integer({ min: 1, max: 40 }),
        (records, separator, pieceBytes) => {
          const texts = records.map((record) => JSON.stringify(record));
          const spans = scan(texts.join(separator), pieceBytes);
          const step = separator.split("\n").length - 1;
          expect(spans.map(({ text }) => text.trim())).toEqual(texts);
          expect(spans.map(({ line }) => line)).toEqual(texts.map((_, at) => 1 + at * step));
        },
      ),
    );
  });

  test("begin on their lines", () => {
    expect(scan('[\n  {"a": 1},\n\n  {"a":\n 2}, {"a": 3}\n]\n')).toEqual([
      { text: '{"a": 1}', line: 2 },
      { text: '{"a":\n 2}', line: 4 },
      { text: '{"a": 3}', line: 5 },
    ]);
  });

  test("do not mind a byte order mark, nor emptiness", () => {
    expect(scan("\ufeff[1]")).toEqual([{ text: "1", line: 1 }]);
    expect(scan("\ufeff1\n2")).toHaveLength(2);
    expect(scan("")).toEqual([]);
    expect(scan(" [ ] ")).toEqual([]);
  });
});

describe("broken files", () => {
  test("a missing quote spoils its own record only, where records have lines", () => {
    const lines = ['{"a": "x"}', '{"a": "x}', '{"a": "y"}', '{"a": "z"}'];
    const spans = scan(`[\n${lines.join(",\n")}\n]`);
    // The brace within the open string is lost, so that the second record runs on to the third's end.
    expect(spans[0]).toEqual({ text: lines[0], line: 2 });
    expect(spans.length).toBeGreaterThanOrEqual(2);
    expect(scan(`[\n{"a": "x,\n"b": 1},\n{"a": 2}]`)).toHaveLength(2);
  });

  test("a cut-off array leaves one faulty span, on the line where it begins", () => {
    expect(scan('[\n{"a": 1},\n{"a": ')).toEqual([
      { text: '{"a": 1}', line: 2 },
      {
        text: '{"a":',
        line: 3,
        fault: expect.stringMatching(/complete.*7 bytes|complete.*6 bytes/),
      },
    ]);
    expect(scan('[{"a": 1},')).toEqual([
      { text: '{"a": 1}', line: 1 },
      { text: "", line: 1, fault: expect.stringContaining('end with "]"') },
    ]);
  });

  test("text after the array is one faulty span", () => {
    expect(scan("[1]\n[2]\n{}")).toEqual([
      { text: "1", line: 1 },
      { text: "[2]\n{}", line: 2, fault: expect.stringContaining("after its end") },
    ]);
  });
});
