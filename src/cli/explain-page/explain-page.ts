/** `saccade explain`'s page: one file that needs no other, every number of it from the explanation in it. */
import { type TokenClass, tokenClasses } from "../../analyze/answered-sequence.js";
import type { Explanation } from "../../analyze/explanation.js";
import { costParts } from "../../systems/run-plan.js";
import { runPage } from "./page-script.js";
import { pageStyle } from "./page-style.js";
import { createShow, escapeHtml, formatShare, type Show } from "./shown-values.js";
import { drawImage, heatMapForm, pictureSource, viewName } from "./view-figures.js";

type Cell = string | { readonly text: string };

/** A table; cells that are `text` are set left and may break. */
const table = (
  caption: string,
  header: readonly string[],
  rows: readonly (readonly [string, ...Cell[]])[],
): string => {
  const cellOf = (cell: Cell): string =>
    typeof cell === "string" ? `<td>${cell}</td>` : `<td class="text">${cell.text}</td>`;
  const body = rows.map(
    ([first, ...rest]) => `<tr><th scope="row">${first}</th>${rest.map(cellOf).join("")}</tr>`,
  );
  const isText = (column: number): boolean => typeof rows[0]?.[column] === "object";
  const heads = header
    .map((title, column) =>
      title === ""
        ? "<td></td>"
        : `<th scope="col"${isText(column) ? ' class="text"' : ""}>${title}</th>`,
    )
    .join("");
  return `<div class="scroll" tabindex="0" role="region" aria-label="${caption}"><table><caption>${caption}</caption><thead><tr>${heads}</tr></thead><tbody>${body.join("")}</tbody></table></div>`;
};

const section = (title: string, ...content: readonly string[]): string =>
  `<section><h2>${title}</h2>${content.join("\n")}</section>`;

const facts = (rows: readonly (readonly [string, string])[]): string =>
  `<dl class="facts">${rows.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join("")}</dl>`;

const bar = (parts: readonly (readonly [string, number | null])[]): string =>
  `<span class="bar" aria-hidden="true">${parts.map(([name, share]) => `<i class="${name}" style="width:${(100 * (share ?? 0)).toFixed(2)}%"></i>`).join("")}</span>`;

const seenSection = (explanation: Explanation, show: Show): string => {
  const rows = explanation.views.map((view, index): [string, ...Cell[]] => [
    viewName(view, index),
    `${show(`views.${index}.size.width`, "count")} × ${show(`views.${index}.size.height`, "count")}`,
    show(`views.${index}.numTokens`, "count"),
  ]);
  const { route } = explanation;
  const scores =
    route?.probabilities === undefined
      ? ""
      : `<h3>Granularities</h3><p>Chosen by the router: ${show("route.granularity", "count")} tokens a view.</p>${table(
          "The router's scores, coarsest granularity first",
          ["tokens a view", "", "probability", "score"],
          route.granularities.map((_, index) => [
            show(`route.granularities.${index}`, "count"),
            bar([["one", route.probabilities?.[index] ?? 0]]),
            show(`route.probabilities.${index}`, "share"),
            show(`route.logits.${index}`, "nats"),
          ]),
        )}`;
  const shared = explanation.views.every(({ numTokens }) => numTokens === 0)
    ? "Tokens are made of all views together."
    : "";
  return section(
    "What it saw, and the tokens spent",
    drawImage(explanation),
    facts([
      ["tokens of the image", show("usage.imageTokens", "count")],
      ["tokens of text", show("usage.textTokens", "count")],
      ["tokens of the answer", show("usage.completionTokens", "count")],
    ]),
    `<details><summary>Views, as the vision tower sees them</summary><p>${shared}</p>${table("Pixels and tokens of each view", ["view", "pixels", "tokens of its own"], rows)}</details>`,
    scores,
  );
};

const classKey = tokenClasses.map((name) => `<span class="key ${name}"></span>${name}`).join("");

/** One value for each layer, from each class to each. */
const classTable = (
  caption: string,
  { layers }: Explanation,
  cellOf: (layer: number, from: TokenClass, to: TokenClass) => string,
): string =>
  table(
    caption,
    ["layer", ...tokenClasses.flatMap((from) => tokenClasses.map((to) => `${from} → ${to}`))],
    layers.map((_, layer) => [
      `${layer + 1}`,
      ...tokenClasses.flatMap((from) => tokenClasses.map((to) => cellOf(layer, from, to))),
    ]),
  );

const classSection = (explanation: Explanation, show: Show): string => {
  const rows = explanation.layers.map(({ shares }, layer): [string, ...Cell[]] => [
    `${layer + 1}`,
    bar(tokenClasses.map((to) => [to, shares.response[to]])),
    ...tokenClasses.map((to) => show(`layers.${layer}.shares.response.${to}`, "share")),
  ]);
  return section(
    "Attention by kind of token",
    `<p>What the answer's tokens attend to, layer by layer:${classKey}.</p>`,
    table("Shares of the answer's attention", ["layer", "", ...tokenClasses], rows),
    `<details><summary>From every kind to every kind</summary>${classTable(
      "Shares; a token that cannot see a kind does not count, so that rows need not add up to 100 %",
      explanation,
      (layer, from, to) => show(`layers.${layer}.shares.${from}.${to}`, "share"),
    )}</details>`,
    `<details><summary>Entropy of attention</summary>${table(
      "Entropy of the answer's attention, in nats: 0 looks at one token, the logarithm of their number at all alike",
      ["layer", "over all it sees", "over vision"],
      explanation.layers.map((_, layer) => [
        `${layer + 1}`,
        show(`layers.${layer}.totalEntropy.response`, "nats"),
        show(`layers.${layer}.entropy.response.vision`, "nats"),
      ]),
    )}${classTable("Entropy within every kind, in nats", explanation, (layer, from, to) =>
      show(`layers.${layer}.entropy.${from}.${to}`, "nats"),
    )}</details>`,
  );
};

const said = (text: string): Cell => ({ text: escapeHtml(text === "" ? "(nothing)" : text) });

const droppingSection = ({ dropping }: Explanation, show: Show): string => {
  const row = (name: string, path: string, text: string): [string, ...Cell[]] => [
    name,
    show(`${path}.answerLoss`, "nats"),
    said(text),
  ];
  const named = ({ first, last }: { readonly first: number; readonly last: number }): string =>
    first === last ? `layer ${first + 1}` : `layers ${first + 1} to ${last + 1}`;
  return section(
    "Without the image in some layers",
    "<p>Visual tokens are hidden: in the layers named, no token attends to them. What the given answer then costs, and what is answered instead.</p>",
    table(
      "Loss of the answer: mean negative log-likelihood of its tokens, in nats",
      ["hidden in", "loss", "answer"],
      [
        row("nothing", "dropping.plain", dropping.plain.text),
        ...dropping.blocks.map((block, index) =>
          row(named(block.layers), `dropping.blocks.${index}`, block.text),
        ),
        row("all layers", "dropping.everywhere", dropping.everywhere.text),
      ],
    ),
  );
};

const viewUseSection = ({ viewUse, views }: Explanation, show: Show): string =>
  viewUse.length < 2
    ? ""
    : section(
        "Which views the answer used",
        table(
          "Attention of the answer's tokens, mean over layers; and the answer when a view is hidden",
          ["view", "", "attention", "loss without it", "answer without it"],
          viewUse.map(({ view, meanAttention, hidden }, index) => [
            viewName(views[view], view),
            bar([["one", meanAttention]]),
            show(`viewUse.${index}.meanAttention`, "share"),
            show(`viewUse.${index}.hidden.answerLoss`, "nats"),
            said(hidden.text),
          ]),
        ),
      );

/** The token that ends the question; the last one where a template has rewritten it. */
const lastOfQuestion = (texts: readonly string[], question: string): number => {
  const asked = question.trim();
  const start = texts.join("").lastIndexOf(asked);
  let length = 0;
  const index = texts.findIndex((text) => {
    length += text.length;
    return length >= start + asked.length;
  });
  return start < 0 || index < 0 ? texts.length - 1 : index;
};

const mapSections = (explanation: Explanation): string => {
  const { answer, compressor, fusion } = explanation.heatMaps;
  return [
    section(
      "What each word looked at",
      `<p>Attention over the visual tokens of the place that predicts each token of the answer, mean over heads.${
        compressor === undefined
          ? ""
          : " These tokens are made of the whole image; the maps below show of what."
      }</p>`,
      heatMapForm("answer", answer, explanation, ["Token of the answer", 0]),
    ),
    fusion === undefined
      ? ""
      : section(
          "What the question took from the image",
          "<p>Attention of the prompt’s tokens over the patches, in pre-fusion, before the language model.</p>",
          heatMapForm("fusion", fusion, explanation, [
            "Token of the prompt",
            lastOfQuestion(fusion.lookers, explanation.question),
          ]),
        ),
    compressor === undefined
      ? ""
      : section(
          "What the compressor took from the image",
          "<p>Attention of each query over the patches: what a compressed token is made of.</p>",
          heatMapForm("compressor", compressor, explanation, ["Query", 0]),
        ),
  ].join("\n");
};

const costSection = ({ cost, timings }: Explanation, show: Show): string =>
  section(
    "Time and cost",
    facts([
      ["first token", show("timings.firstTokenMs", "ms")],
      ["vision", show("timings.visionMs", "ms")],
      ["fusion and splicing", show("timings.fusionMs", "ms")],
      ...(timings.routerMs === undefined
        ? []
        : [["router", show("timings.routerMs", "ms")] as const]),
      ["reading the prompt", show("timings.prefillMs", "ms")],
      ["tokens per second", show("timings.tokensPerSecond", "rate")],
    ]),
    table(
      "Predicted before running",
      ["", "FLOPs"],
      [
        ...costParts
          .filter((part) => cost.flops[part] > 0)
          .map((part): [string, Cell] => [
            part === "prefill" ? "language model, prompt" : part,
            show(`cost.flops.${part}`, "flops"),
          ]),
        ["each generated token", show("cost.flops.perToken", "flops")],
        ["all", show("cost.flops.total", "flops")],
      ],
    ),
    `<br>${table(
      "Predicted memory",
      ["", "bytes"],
      [
        ["weights", show("cost.bytes.weights", "bytes")],
        ["keys and values", show("cost.bytes.kvCache", "bytes")],
        ["activations at once", show("cost.bytes.activations", "bytes")],
      ],
    )}`,
  );

/** JSON that may stand in a script element. */
const embedJson = (value: unknown): string => JSON.stringify(value).replaceAll("<", "\\u003c");

/** The page of an explanation; `picture` is the image as a data address. It loads nothing. */
export const writeExplainPage = (explanation: Explanation, picture: string): string => {
  const show = createShow(explanation);
  const { question, answer, model, system } = explanation;
  const cut = answer.finishReason === "length" ? '<p class="faint">cut at its most tokens</p>' : "";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(question)} — saccade explain</title>
<style>${pageStyle}</style>
</head>
<body>
${pictureSource(explanation.image, picture)}
<main>
<header><p class="faint">${escapeHtml(model)} · ${system}</p><h1>${escapeHtml(question)}</h1>
<p class="answer">${escapeHtml(answer.text === "" ? "(nothing)" : answer.text)}</p>${cut}</header>
${seenSection(explanation, show)}
${mapSections(explanation)}
${viewUseSection(explanation, show)}
${classSection(explanation, show)}
${droppingSection(explanation, show)}
${costSection(explanation, show)}
</main>
<script type="application/json" id="explanation">${embedJson(explanation)}</script>
<script>(${runPage.toString()})(${formatShare.toString()});</script>
</body>
</html>
`;
};
