import { chartSize, escapeXml, lineChart, seriesColour } from "../cost/line-chart.js";
import { type BarRow, barChart } from "./bar-chart.js";
import {
  type BenchReport,
  type MeasuredPart,
  measuredParts,
  type SystemFigures,
} from "./bench-report.js";
import { milliseconds, plain, prefixed, times } from "./quantity-text.js";

export const partTitles: Readonly<Record<MeasuredPart, string>> = {
  processing: "image processing",
  vision: "vision encoder",
  projector: "connector",
  compression: "compression",
  fusion: "fusion",
  router: "router",
  prefill: "language model, prompt",
  between: "copies between parts",
};

const flopsText = (value: number): string => prefixed(value, "FLOP");
const rateText = (value: number): string => prefixed(value, "FLOP/s");
const bytesText = (value: number): string => prefixed(value, "B");

type Cell = { readonly path: string; readonly format: (value: number) => string };

/** A number of the report: its place in the JSON stands beside it. */
const valueAt = (report: BenchReport, path: string): number | null =>
  path
    .split(".")
    .reduce<unknown>((value, key) => (value as Record<string, unknown> | null)?.[key], report) as
    | number
    | null;

const cellOf =
  (report: BenchReport) =>
  (cell: string | Cell): string => {
    if (typeof cell === "string") return `<td>${escapeXml(cell)}</td>`;
    const value = valueAt(report, cell.path) ?? null;
    if (value === null) return "<td>–</td>";
    return `<td class="number" data-path="${escapeXml(cell.path)}">${escapeXml(cell.format(value))}</td>`;
  };

const table = (
  report: BenchReport,
  header: readonly string[],
  rows: readonly (readonly (string | Cell)[])[],
): string => {
  const cell = cellOf(report);
  const head = header.map((title) => `<th>${escapeXml(title)}</th>`).join("");
  const body = rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n");
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>\n${body}\n</tbody></table></div>`;
};

const spread = (path: string, format: Cell["format"]): Cell[] =>
  ["median", "min", "max"].map((which) => ({ path: `${path}.${which}`, format }));

const barsOf = (
  { systems }: BenchReport,
  amountOf: (system: SystemFigures, part: MeasuredPart) => number,
): BarRow[] =>
  systems.map((system) => ({
    name: system.name,
    segments: measuredParts
      .map((part, colour) => ({ name: partTitles[part], value: amountOf(system, part), colour }))
      .filter(({ value }) => value > 0),
  }));

const roundsChart = ({ systems, rounds }: BenchReport): string => {
  const series = systems.map(({ name, runs }) => ({
    name,
    points: runs.map(({ firstTokenMs }, index) => [index + 1, firstTokenMs] as const),
  }));
  const xTicks = Array.from({ length: rounds }, (_, index) => index + 1);
  const labels = { xLabel: "round", yLabel: "milliseconds" };
  const options = { title: "time to the first token by round", ...labels, xTicks, formatY: plain };
  const legend = systems.map(
    ({ name }, index) =>
      `<span class="key"><i style="background:${seriesColour(index)}"></i>${escapeXml(name)}</span>`,
  );
  const { width, height } = chartSize;
  return (
    `<svg class="chart small" role="img" aria-label="${options.title}" viewBox="0 0 ${width} ${height}" font-size="11" fill="currentColor">` +
    `${lineChart(series, options, [0, 0])}</svg><p>${legend.join("")}</p>`
  );
};

const partsTable = (report: BenchReport, index: number): string =>
  table(
    report,
    ["part", "median", "least", "most", "predicted", "rate"],
    [
      ...measuredParts
        .filter((part) => report.systems[index].parts[part].ms.max > 0)
        .map((part) => [partTitles[part], `systems.${index}.parts.${part}`] as const),
      ["all, to the first token", `systems.${index}.firstToken`] as const,
    ].map(([title, path]) => [
      title,
      ...spread(`${path}.ms`, milliseconds),
      { path: `${path}.flops`, format: flopsText },
      { path: `${path}.flopsPerSecond`, format: rateText },
    ]),
  );

const style = `
:root{color-scheme:light dark;--text:#1d1d1f;--page:#fff;--line:#dcdce0;--soft:#6b6b70}
@media (prefers-color-scheme:dark){:root{--text:#ececf0;--page:#17171a;--line:#3a3a40;--soft:#a0a0a8}
.chart [stroke="#000000"]{stroke:#ececf0}.chart [fill="#000000"]{fill:#ececf0}i[style*="#000000"]{background:#ececf0!important}}
body{margin:2rem auto;max-width:60rem;padding:0 1rem;font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--page)}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}p.soft{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}td.number{font-variant-numeric:tabular-nums}
.chart{display:block;width:100%;height:auto;margin:.8rem 0}.chart.small{max-width:32rem}
.chart line[stroke="#e4e4e4"]{stroke:var(--line)}
.key{display:inline-block;margin-right:1.1rem}.key i{display:inline-block;width:.8rem;height:.8rem;margin-right:.4rem;border-radius:2px}
`;

/** Other processes above this share of the processors: the figures say more of them than of us. */
const disturbedShare = 0.04;

/**
 * The report as one HTML page that needs nothing else, light or dark as the reader's system is. Every
 * figure has its place in the JSON (`data-path`), which is in the page as well (`#report`).
 */
export const renderBenchPage = (report: BenchReport): string => {
  const { request, machine, rounds, shareOfOthers, systems, ratios } = report;
  const { image, frames, textTokens, newTokens } = request;
  const medium = `${frames === null ? "one image" : `a video of ${frames} frames`} of ${image.width}x${image.height}`;
  const legend = measuredParts
    .filter((part) => systems.some(({ parts }) => parts[part].ms.max > 0))
    .map(
      (part) =>
        `<span class="key"><i style="background:${seriesColour(measuredParts.indexOf(part))}"></i>${partTitles[part]}</span>`,
    );
  const timeOf = ({ runs, typicalRun }: SystemFigures, part: MeasuredPart): number =>
    Math.max(0, runs[typicalRun].parts[part]);
  const ofSystems = (cells: (path: string, system: SystemFigures) => (string | Cell)[]) =>
    systems.map((system, index) => [system.name, ...cells(`systems.${index}`, system)]);
  const sections = [
    `<h1>${escapeXml(systems.map(({ name }) => name).join(", "))}</h1>`,
    `<p>${medium}, ${textTokens} text tokens, ${newTokens} new tokens; ${rounds} rounds in which the systems take turns. ` +
      `${escapeXml(machine.processor)}, ${machine.threads} threads, ${escapeXml(machine.provider)}, ONNX Runtime ${machine.onnxruntime}, Node ${machine.node}, ${machine.date}.</p>`,
    shareOfOthers > disturbedShare
      ? `<p><strong>Other processes had up to ${plain(100 * shareOfOthers)} % of the processors: these figures do not count.</strong></p>`
      : "",
    "<h2>Time to the first token</h2>",
    `<p>${legend.join("")}</p>`,
    barChart(barsOf(report, timeOf), {
      title: "measured, the round of median time",
      format: milliseconds,
    }),
    barChart(
      barsOf(report, ({ parts }, part) => parts[part].flops),
      { title: "predicted operations", format: flopsText },
    ),
    ratios.length > 0
      ? table(
          report,
          [
            "times faster than the first",
            "against",
            "median",
            "least",
            "most",
            "fewer FLOPs",
            "decoding",
          ],
          ratios.map(({ name, against }, index) => [
            name,
            against,
            ...spread(`ratios.${index}.firstToken`, times),
            { path: `ratios.${index}.flops`, format: times },
            { path: `ratios.${index}.decoding.median`, format: times },
          ]),
        )
      : "",
    roundsChart(report),
    ...systems.flatMap(({ name, weights, routed }, index) => [
      `<h2>${escapeXml(name)}</h2>`,
      `<p class="soft">Weights: ${weights}.${routed === null ? "" : ` The router chose ${routed} tokens a view.`} Rates are predicted operations over the median time.</p>`,
      partsTable(report, index),
    ]),
    "<h2>Decoding</h2>",
    table(
      report,
      ["system", "tokens/s", "least", "most", "FLOPs a token", "bytes a token", "bytes/s"],
      ofSystems((path) => [
        ...spread(`${path}.decoding.tokensPerSecond`, plain),
        { path: `${path}.decoding.flopsPerToken`, format: flopsText },
        { path: `${path}.decoding.bytesPerToken`, format: bytesText },
        { path: `${path}.decoding.bytesPerSecond`, format: (value) => prefixed(value, "B/s") },
      ]),
    ),
    "<h2>Memory</h2>",
    table(
      report,
      ["system", "weights", "keys and values", "allocated", "peak besides weights", "measured"],
      ofSystems((path) =>
        [
          "weights",
          "kvCache.predicted",
          "kvCache.allocated",
          "besidesWeights.predicted",
          "besidesWeights.measured",
        ].map((key) => ({ path: `${path}.bytes.${key}`, format: bytesText })),
      ),
    ),
    `<h2>${frames === null ? "Each image" : "Each frame"}</h2>`,
    table(
      report,
      ["system", "tokens", "keys and values", "time", "operations"],
      ofSystems((path) => [
        { path: `${path}.perImage.tokens`, format: plain },
        { path: `${path}.perImage.kvBytes`, format: bytesText },
        { path: `${path}.perImage.ms`, format: milliseconds },
        { path: `${path}.perImage.flops`, format: flopsText },
      ]),
    ),
  ];
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    '<link rel="icon" href="data:,">',
    `<title>saccade bench: ${escapeXml(systems.map(({ name }) => name).join(", "))}</title>`,
    `<style>${style}</style></head><body>`,
    ...sections,
    // A "<" in a name would end the script.
    `<script type="application/json" id="report">${JSON.stringify(report).replaceAll("<", "\\u003c")}</script>`,
    "</body></html>",
    "",
  ].join("\n");
};
