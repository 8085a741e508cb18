import { ContextOverflowError, LimitError } from "../errors.js";
import type { CostEstimator, CostReport, CostRequest } from "./cost-report.js";
import { chartSize, escapeXml, lineChart, type Series, seriesColour } from "./line-chart.js";
import type { MediumSize } from "./planned-media.js";

/** A model to be drawn, by name. */
export type ChartedModel = { readonly name: string; readonly estimate: CostEstimator };

const sidesPx = [224, 336, 448, 672, 896, 1344, 2016];
const frameCounts = [1, 2, 4, 16, 64, 256, 1024, 4096];
const textLengths = [16, 32, 64, 128, 256, 512, 1024, 2048];

/** What is varied: the requests along an axis, the others' values being those of `base`. */
const axesOf = ({ media, textTokens, answerTokens }: CostRequest) => {
  const rest = { textTokens, answerTokens };
  const [medium = { width: 336, height: 336 }] = media;
  const { numFrames, ...image } = medium;
  const resized = (side: number): MediumSize => ({ ...medium, width: side, height: side });
  return [
    {
      title: "resolution",
      xLabel: "side of a square image, pixels",
      values: sidesPx,
      requestAt: (side: number): CostRequest => ({ ...rest, media: [resized(side)] }),
    },
    {
      title: "frames",
      xLabel: "frames of a video",
      values: frameCounts,
      requestAt: (frames: number): CostRequest => ({
        ...rest,
        media: [{ ...image, numFrames: frames }],
      }),
    },
    {
      title: "question",
      xLabel: "text tokens of the prompt",
      values: textLengths,
      requestAt: (length: number): CostRequest => ({ answerTokens, media, textTokens: length }),
    },
  ];
};

/** Costs along one axis; what a model would refuse (a full context, a limit) is left out. */
const reportsAlong = (
  { estimate }: ChartedModel,
  values: readonly number[],
  requestAt: (value: number) => CostRequest,
): (readonly [number, CostReport])[] =>
  values.flatMap((value) => {
    try {
      return [[value, estimate(requestAt(value))] as const];
    } catch (error) {
      if (error instanceof ContextOverflowError || error instanceof LimitError) return [];
      throw error;
    }
  });

const quantities = [
  {
    name: "FLOPs",
    label: "operations",
    of: ({ flops }: CostReport): number => flops.total,
    units: ["", "k", "M", "G", "T", "P", "E"],
  },
  {
    name: "memory besides weights",
    label: "keys, values and activations",
    of: ({ bytes }: CostReport): number => bytes.kvCache + bytes.activations,
    units: ["B", "kB", "MB", "GB", "TB", "PB"],
  },
] as const;

/** 3e12 → 3T */
const shortNumber =
  (units: readonly string[]) =>
  (value: number): string => {
    const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(value) / 3 + 1e-9)));
    return `${Number((value / 1000 ** power).toPrecision(3))} ${units[power]}`.trim();
  };

const margin = 16;
const legendRow = 18;
const perRow = 4;

/**
 * Charts of what requests cost against resolution, frames and question length, for several models, as
 * one SVG document. Lines end where a model's context is full.
 */
export const drawCostCharts = (
  models: readonly ChartedModel[],
  base: CostRequest,
  convention: string,
): string => {
  const axes = axesOf(base);
  const legendTop = margin + 24;
  const chartsTop = legendTop + Math.ceil(models.length / perRow) * legendRow + margin;
  const width = 2 * margin + axes.length * chartSize.width;
  const height = chartsTop + quantities.length * (chartSize.height + margin);
  const columnWidth = (width - 2 * margin) / perRow;
  const legend = models.map(({ name }, index) => {
    const x = margin + (index % perRow) * columnWidth;
    const y = legendTop + Math.floor(index / perRow) * legendRow;
    return (
      `<line x1="${x}" x2="${x + 22}" y1="${y}" y2="${y}" stroke="${seriesColour(index)}" stroke-width="3"/>` +
      `<text x="${x + 28}" y="${y}" dominant-baseline="middle">${escapeXml(name)}</text>`
    );
  });
  const charts = axes.flatMap(({ title, xLabel, values, requestAt }, column) => {
    const reports = models.map((model) => reportsAlong(model, values, requestAt));
    return quantities.map(({ name, label, of, units }, row) => {
      const series: Series[] = models.map((model, index) => ({
        name: model.name,
        points: reports[index].map(([value, report]) => [value, of(report)] as const),
      }));
      return lineChart(
        series,
        {
          title: `${name} by ${title}`,
          xLabel,
          yLabel: label,
          xTicks: values,
          formatY: shortNumber(units),
        },
        [margin + column * chartSize.width, chartsTop + row * (chartSize.height + margin)],
      );
    });
  });
  const { media, textTokens, answerTokens = 1 } = base;
  const [image] = media;
  const caption =
    `Convention "${convention}"; unless varied: ` +
    `${image ? `${image.width}x${image.height} pixels` : "no image"}, ` +
    `${textTokens} text tokens, ${answerTokens} answer token${answerTokens === 1 ? "" : "s"}. A line ends where the context is full.`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="11" fill="#222">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${margin}" y="${margin + 6}" font-size="13">${escapeXml(caption)}</text>`,
    ...legend,
    ...charts,
    "</svg>",
    "",
  ].join("\n");
};
