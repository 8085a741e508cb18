/** Which granularities a router chose for which family of questions: stacked bars as SVG text. */
import { escapeXml, seriesColour } from "../cost/line-chart.js";
import type { FamilyChoices } from "./avg-study.js";

const row = { height: 22, bar: 14, labels: 180, bars: 420, counts: 60 } as const;
const top = 58;

/** One bar a family, from the coarsest mean choice to the finest; `title` stands above. */
export const choiceChart = (families: readonly FamilyChoices[], title: string): string => {
  const granularities = [...new Set(families.flatMap(({ shares }) => [...shares.keys()]))].sort(
    (a, b) => a - b,
  );
  const width = row.labels + row.bars + row.counts;
  const height = top + families.length * row.height + 12;
  const legend = granularities.map((granularity, index) => {
    const x = row.labels + index * 90;
    return `<rect x="${x}" y="32" width="12" height="12" fill="${seriesColour(index)}"/><text x="${x + 17}" y="42">${granularity} ${granularity === 1 ? "token" : "tokens"}</text>`;
  });
  const bars = families.map(({ family, fineness, shares, count }, index) => {
    const y = top + index * row.height;
    let x = row.labels;
    const parts = granularities.map((granularity, colour) => {
      const share = shares.get(granularity) ?? 0;
      const part = `<rect x="${x.toFixed(1)}" y="${y}" width="${(share * row.bars).toFixed(1)}" height="${row.bar}" fill="${seriesColour(colour)}"><title>${escapeXml(family)}: ${granularity}, ${(100 * share).toFixed(1)} %</title></rect>`;
      x += share * row.bars;
      return share > 0 ? part : "";
    });
    return [
      `<text x="${row.labels - 8}" y="${y + 11}" text-anchor="end">${escapeXml(family)} <tspan fill="#595959">${escapeXml(fineness)}</tspan></text>`,
      ...parts,
      `<text x="${row.labels + row.bars + 8}" y="${y + 11}" fill="#595959">${count}</text>`,
    ].join("");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#1a1a1a" role="img" aria-label="${escapeXml(title)}">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<text x="12" y="20" font-size="14" font-weight="600">${escapeXml(title)}</text>`,
    ...legend,
    ...bars,
    "</svg>",
    "",
  ].join("\n");
};
