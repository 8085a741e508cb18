/** Receipts, tables and charts: dark print on white paper in the middle of the image. */
import type { Rgb } from "../../image/image.js";
import { type Box, fitText, type Mark, type TextMark } from "./mark.js";
import { palette, shadeColour } from "./palette.js";
import type { Chart, Receipt, Table } from "./scene.js";
import { formatCents } from "./words.js";

const ink: Rgb = [28, 28, 34];
const faint: Rgb = [206, 208, 214];

const centred = (aspect: number, width: number, height: number): Box => ({
  x: (aspect - width) / 2,
  y: (1 - height) / 2,
  width,
  height,
});

const sheet = (box: Box): Mark => ({
  type: "boxes",
  boxes: [box],
  colour: [255, 255, 255],
  radius: 0.012,
});

const write = (
  text: string,
  [x, y]: readonly [number, number],
  em: number,
  font: TextMark["font"],
  align: TextMark["align"],
): TextMark => ({ type: "text", text, x, y, em, font, align, colour: ink });

/** Font size that all texts share: the largest at which the widest of them fits. */
const fitTexts = (
  texts: readonly string[],
  font: TextMark["font"],
  width: number,
  em: number,
): number => Math.min(...texts.map((text) => fitText(text, font, width, em)));

/** Total of a receipt, in cents. */
export const totalOf = ({ items }: Receipt): number =>
  items.reduce((sum, { cents }) => sum + cents, 0);

export const layOutReceipt = (receipt: Receipt, aspect: number): Mark[] => {
  const height = receipt.scale;
  const width = Math.min(height * 0.84, aspect * 0.94);
  const box = centred(aspect, width, height);
  const lines = [
    ...receipt.items.map(({ name, cents }) => [name, formatCents(cents)] as const),
    ["TOTAL", formatCents(totalOf(receipt))] as const,
  ];
  // A head, a line for each item, the total, and half a line of margin at the rules and edges.
  const lineHeight = height / (lines.length + 3);
  const longest = lines.map(([name, price]) => `${name}  ${price}`);
  const em = fitTexts(longest, "mono", width * 0.88, lineHeight * 0.8);
  const left = box.x + width * 0.06;
  const right = box.x + width * 0.94;
  const lineAt = (at: number) => box.y + lineHeight * (at + 1);
  const rule = (y: number): Box => ({ x: left, y, width: right - left, height: em * 0.07 });
  const totalAt = lines.length + 1;
  const head = receipt.shop.toUpperCase();
  const headEm = fitText(head, "bold", width * 0.88, lineHeight * 0.95);
  return [
    sheet(box),
    { type: "boxes", boxes: [rule(lineAt(0.7)), rule(lineAt(totalAt - 0.75))], colour: ink },
    write(head, [box.x + width / 2, lineAt(0)], headEm, "bold", "centre"),
    ...lines.flatMap(([name, price], at) => {
      const isTotal = at === lines.length - 1;
      const y = lineAt(isTotal ? totalAt : at + 1.3);
      return [
        write(name, [left, y], em, "mono", "left"),
        write(price, [right, y], em, "mono", "right"),
      ];
    }),
  ];
};

export const layOutTable = (table: Table, aspect: number): Mark[] => {
  const width = aspect * table.scale;
  const height = Math.min(table.scale, (table.rows.length + 1) * 0.2);
  const box = centred(aspect, width, height);
  const numColumns = table.columns.length + 1;
  const columnWidth = width / numColumns;
  const rowHeight = height / (table.rows.length + 1);
  const headEm = fitTexts(table.columns, "bold", columnWidth * 0.9, rowHeight * 0.6);
  const nameEm = fitTexts(table.rows, "bold", columnWidth * 0.9, rowHeight * 0.6);
  const valueEm = fitTexts(["00"], "sans", columnWidth * 0.5, rowHeight * 0.66);
  const xAt = (column: number) => box.x + (column + 0.5) * columnWidth;
  const yAt = (row: number) => box.y + (row + 0.5) * rowHeight;
  const rules = table.rows.map((_, at) => ({
    x: box.x,
    y: box.y + (at + 1) * rowHeight - 0.001,
    width,
    height: 0.002,
  }));
  return [
    sheet(box),
    {
      type: "boxes",
      boxes: [{ ...box, height: rowHeight }],
      colour: [226, 232, 242],
      radius: 0.012,
    },
    { type: "boxes", boxes: rules, colour: faint },
    ...table.columns.map((text, at) =>
      write(text, [xAt(at + 1), yAt(0)], headEm, "bold", "centre"),
    ),
    ...table.rows.map((text, at) =>
      write(text, [box.x + columnWidth * 0.06, yAt(at + 1)], nameEm, "bold", "left"),
    ),
    ...table.values.flatMap((row, rowAt) =>
      row.map((value, at) =>
        write(String(value), [xAt(at + 1), yAt(rowAt + 1)], valueEm, "sans", "centre"),
      ),
    ),
  ];
};

const topValue = 10;

export const layOutChart = (chart: Chart, aspect: number, shade: number): Mark[] => {
  const width = aspect * chart.scale;
  const height = chart.scale;
  const box = centred(aspect, width, height);
  const slot = (width * 0.84) / chart.bars.length;
  const names = chart.bars.map(({ name }) => name);
  const nameEm = fitTexts(names, "sans", slot * 0.94, height * 0.085);
  const bottom = box.y + height * 0.88;
  const unit = (height * 0.78) / (topValue + (chart.hasValues ? 0.8 : 0));
  const axisX = box.x + width * 0.11;
  const axisEm = Math.min(unit * 0.9, width * 0.05);
  const units = Array.from({ length: topValue + 1 }, (_, value) => value);
  const barX = (at: number) => axisX + width * 0.02 + at * slot;
  return [
    sheet(box),
    {
      type: "boxes",
      boxes: units.map((value) => ({
        x: axisX,
        y: bottom - value * unit - 0.001,
        width: width * 0.87,
        height: 0.002,
      })),
      colour: faint,
    },
    ...units.map((value) =>
      write(String(value), [axisX - width * 0.02, bottom - value * unit], axisEm, "sans", "right"),
    ),
    ...chart.bars.flatMap(({ name, colour, value }, at): Mark[] => {
      const bar = {
        x: barX(at) + slot * 0.16,
        y: bottom - value * unit,
        width: slot * 0.68,
        height: value * unit,
      };
      const x = barX(at) + slot / 2;
      const valueY = bar.y - unit * 0.5;
      return [
        { type: "boxes", boxes: [bar], colour: shadeColour(palette[colour], shade) },
        write(name, [x, bottom + height * 0.055], nameEm, "sans", "centre"),
        ...(chart.hasValues
          ? [write(String(value), [x, valueY], unit * 0.95, "bold", "centre")]
          : []),
      ];
    }),
  ];
};
