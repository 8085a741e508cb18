/** Line charts as SVG text, both axes logarithmic: costs span many powers of ten. */

export type Series = {
  readonly name: string;
  /** x and y, both above 0, in the order of x. */
  readonly points: readonly (readonly [x: number, y: number])[];
};

export type ChartOptions = {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Values of x that get a tick; the axis spans them. */
  readonly xTicks: readonly number[];
  readonly formatX?: (x: number) => string;
  readonly formatY: (y: number) => string;
};

/** Okabe and Ito's palette, told apart by colour-blind readers too, on white. */
const seriesColours = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#56b4e9",
  "#e69f00",
  "#000000",
  "#8c564b",
  "#7f7f7f",
  "#bcbd22",
] as const;

/** The same series has the same colour in every chart. */
export const seriesColour = (index: number): string => seriesColours[index % seriesColours.length];

/** Text as it may stand in SVG. */
export const escapeXml = (text: string): string =>
  text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");

export const chartSize = { width: 390, height: 260 } as const;
const plot = { left: 66, top: 30, right: 24, bottom: 40 } as const;

const digit = (value: number): string => value.toFixed(1);

/** Round numbers that enclose the values, few enough to be read. */
const ticksAround = (values: readonly number[]): number[] => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const decades = Math.log10(most / least);
  const steps = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : [1, 2, 5];
  const ticks: number[] = [];
  const first = Math.floor(Math.log10(least));
  for (let exponent = first; exponent <= Math.ceil(Math.log10(most)); exponent += 1) {
    for (const step of steps) ticks.push(step * 10 ** exponent);
  }
  const from = ticks.findLastIndex((tick) => tick <= least);
  const to = ticks.findIndex((tick) => tick >= most);
  return ticks.slice(Math.max(0, from), to + 1 || undefined);
};

const scaleOf = (
  [least, most]: readonly [number, number],
  [from, to]: readonly [number, number],
): ((value: number) => number) => {
  const span = Math.log(most / least) || 1;
  return (value) => from + ((to - from) * Math.log(value / least)) / span;
};

/** One chart at (left, top) of an SVG document, `chartSize` large. A line ends where its points do. */
export const lineChart = (
  series: readonly Series[],
  { title, xLabel, yLabel, xTicks, formatX = String, formatY }: ChartOptions,
  [left, top]: readonly [number, number],
): string => {
  const { width, height } = chartSize;
  const box = {
    left: plot.left,
    right: width - plot.right,
    top: plot.top,
    bottom: height - plot.bottom,
  };
  const values = series.flatMap(({ points }) => points.map(([, y]) => y));
  const yTicks = ticksAround(values.length > 0 ? values : [1, 10]);
  const x = scaleOf([xTicks[0], xTicks[xTicks.length - 1]], [box.left, box.right]);
  const y = scaleOf([yTicks[0], yTicks[yTicks.length - 1]], [box.bottom, box.top]);
  const text = (content: string, at: string, more = ""): string =>
    `<text ${at} ${more}>${escapeXml(content)}</text>`;
  const parts = [
    text(title, `x="${box.left}" y="16"`, 'font-weight="600"'),
    ...yTicks.map((tick) => {
      const at = digit(y(tick));
      return (
        `<line x1="${box.left}" x2="${box.right}" y1="${at}" y2="${at}" stroke="#e4e4e4"/>` +
        text(
          formatY(tick),
          `x="${box.left - 6}" y="${at}"`,
          'text-anchor="end" dominant-baseline="middle"',
        )
      );
    }),
    ...xTicks.map((tick) => {
      const at = digit(x(tick));
      return (
        `<line x1="${at}" x2="${at}" y1="${box.bottom}" y2="${box.bottom + 4}" stroke="#888"/>` +
        text(formatX(tick), `x="${at}" y="${box.bottom + 16}"`, 'text-anchor="middle"')
      );
    }),
    `<line x1="${box.left}" x2="${box.right}" y1="${box.bottom}" y2="${box.bottom}" stroke="#888"/>`,
    text(xLabel, `x="${(box.left + box.right) / 2}" y="${height - 6}"`, 'text-anchor="middle"'),
    text(
      yLabel,
      `transform="translate(12 ${(box.top + box.bottom) / 2}) rotate(-90)"`,
      'text-anchor="middle"',
    ),
    ...series.map(({ points }, index) => {
      const colour = seriesColour(index);
      const at = points.map((point) => `${digit(x(point[0]))},${digit(y(point[1]))}`);
      const dots = points
        .map((point) => `<circle cx="${digit(x(point[0]))}" cy="${digit(y(point[1]))}" r="2"/>`)
        .join("");
      return (
        `<polyline points="${at.join(" ")}" fill="none" stroke="${colour}" stroke-width="1.8"/>` +
        `<g fill="${colour}">${dots}</g>`
      );
    }),
  ];
  return `<g transform="translate(${left} ${top})">${parts.join("")}</g>`;
};
