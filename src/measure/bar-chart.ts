/** Stacked horizontal bars as SVG text: one row a system, one colour a part, from 0 on a linear scale. */
import { escapeXml, seriesColour } from "../cost/line-chart.js";

export type BarSegment = {
  readonly name: string;
  readonly value: number;
  /** Index of its colour; a part has the same one in every chart. */
  readonly colour: number;
};

export type BarRow = { readonly name: string; readonly segments: readonly BarSegment[] };

export type BarChartOptions = {
  readonly title: string;
  readonly format: (value: number) => string;
};

const rowHeight = 34;
const plot = { left: 190, right: 110, width: 920, top: 34 } as const;

/** One chart; every segment says its name and value when pointed at. */
export const barChart = (rows: readonly BarRow[], { title, format }: BarChartOptions): string => {
  const totalOf = ({ segments }: BarRow): number =>
    segments.reduce((sum, { value }) => sum + value, 0);
  const most = Math.max(...rows.map(totalOf)) || 1;
  const span = plot.width - plot.left - plot.right;
  const widthOf = (value: number): number => (span * value) / most;
  const height = plot.top + rows.length * rowHeight + 6;
  const drawn = rows.map((row, index) => {
    const top = plot.top + index * rowHeight;
    const middle = top + rowHeight / 2 - 3;
    let left: number = plot.left;
    const bars = row.segments.map(({ name, value, colour }) => {
      const width = widthOf(value);
      const bar =
        `<rect x="${left.toFixed(2)}" y="${top}" width="${width.toFixed(2)}" height="${rowHeight - 8}" fill="${seriesColour(colour)}">` +
        `<title>${escapeXml(`${row.name}, ${name}: ${format(value)}`)}</title></rect>`;
      left += width;
      return bar;
    });
    return [
      `<text x="${plot.left - 8}" y="${middle}" text-anchor="end" dominant-baseline="middle">${escapeXml(row.name)}</text>`,
      ...bars,
      `<text x="${(left + 8).toFixed(2)}" y="${middle}" dominant-baseline="middle">${escapeXml(format(totalOf(row)))}</text>`,
    ].join("");
  });
  return [
    `<svg class="chart" role="img" aria-label="${escapeXml(title)}" viewBox="0 0 ${plot.width} ${height}" font-size="13" fill="currentColor">`,
    `<text x="0" y="16" font-weight="600">${escapeXml(title)}</text>`,
    ...drawn,
    "</svg>",
  ].join("\n");
};
