/** An answer with what was looked at and what it cost. */
import type { AnswerRecord, Attachment } from "../data/conversation.js";
import type { Figures, Plan, Route, SeenMedium } from "../data/figures.js";
import { describeViews, formatBytes, formatFlops, formatMs, tokensText } from "./format.js";
import { placeNames } from "./lane-controls.js";
import { SeenPicture } from "./seen-picture.js";

const RouterChoice = ({
  route,
  granularities,
}: {
  readonly route: Route;
  readonly granularities: SeenMedium["granularities"];
}) => {
  const { probabilities } = route;
  if (route.chosenBy !== "router" || probabilities === undefined) {
    return <p>{tokensText(route.granularity)} of every view</p>;
  }
  return (
    <figure class="router">
      <figcaption>The router chose {route.granularity} of every view</figcaption>
      <ul>
        {probabilities.map((probability, index) => {
          const granularity = granularities[index]?.granularity ?? 0;
          return (
            <li key={granularity} class={granularity === route.granularity ? "chosen" : ""}>
              <span>{granularity}</span>
              <meter min={0} max={1} value={probability}>
                {(100 * probability).toFixed(0)} %
              </meter>
              <span>{(100 * probability).toFixed(0)} %</span>
            </li>
          );
        })}
      </ul>
    </figure>
  );
};

/** What is drawn of one medium; media without a file here are told in words. */
export const SeenMediumFigure = ({
  medium,
  attachment,
}: {
  readonly medium: SeenMedium;
  readonly attachment?: Attachment;
}) => (
  <div class="medium">
    {attachment && <SeenPicture attachment={attachment} medium={medium} />}
    <div class="medium-text">
      <p class="medium-tokens">
        <strong data-testid="vision-tokens">{tokensText(medium.tokens)}</strong>
      </p>
      <p>{describeViews(medium)}</p>
      {medium.routes[0] && (
        <RouterChoice route={medium.routes[0]} granularities={medium.granularities} />
      )}
    </div>
  </div>
);

const Figure = ({ name, value, title }: { name: string; value: string; title?: string }) => (
  <div title={title}>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

/** What few people ask for: where the memory and the time went. */
const MoreFigures = ({ plan, figures }: { plan: Plan; figures: Figures }) => (
  <details>
    <summary>More figures</summary>
    <dl class="figures">
      <Figure name="Weights" value={formatBytes(plan.weightBytes)} />
      <Figure name="At most in all" value={formatBytes(plan.peakBytes)} />
      <Figure name="Looking" value={formatMs(figures.visionMs)} />
      <Figure name="From the cache" value={tokensText(figures.cachedTokens)} />
    </dl>
  </details>
);

const CostFigures = ({ plan, figures }: { plan: Plan; figures?: Figures }) => (
  <dl class="figures">
    <Figure
      name="Vision"
      value={tokensText(plan.visionTokens)}
      title="Tokens that images and videos take in the language model"
    />
    {plan.promptTokens > 0 && (
      <Figure
        name="Prompt"
        value={tokensText(plan.promptTokens)}
        title="Text and vision together"
      />
    )}
    <Figure
      name="Compute"
      value={formatFlops(plan.flops)}
      title="Operations of prompt and answer"
    />
    {figures && (
      <Figure
        name="First token"
        value={formatMs(figures.firstTokenMs)}
        title="From the question to the first token of the answer"
      />
    )}
    {figures && (
      <Figure
        name="Answer"
        value={`${tokensText(figures.answerTokens)}${figures.tokensPerSecond >= 1 ? `, ${figures.tokensPerSecond.toFixed(0)}/s` : ""}`}
      />
    )}
    <Figure
      name="Memory"
      value={formatBytes(plan.kvBytes)}
      title="Keys and values of prompt and answer"
    />
  </dl>
);

export const AnswerCard = ({
  answer,
  media,
}: {
  readonly answer: AnswerRecord;
  /** Of the whole conversation up to here, in order. */
  readonly media: readonly Attachment[];
}) => {
  const { lane, state, text, error, figures } = answer;
  const plan = figures ?? answer.plan;
  return (
    <article class={`answer ${state}`} aria-busy={state === "running"}>
      <header>
        <h3>{lane.model}</h3>
        <span>{placeNames[lane.place]}</span>
      </header>
      <p class="answer-text" data-testid="answer">
        {text.trimStart()}
        {state === "running" && <span class="caret" aria-hidden="true" />}
      </p>
      {state === "stopped" && <p class="note">Stopped.</p>}
      {figures?.isCut && <p class="note">Cut at the longest answer that is set.</p>}
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      {plan && (
        <div class="looked">
          {plan.media.map((medium, index) => (
            <SeenMediumFigure key={index} medium={medium} attachment={media[index]} />
          ))}
          <CostFigures plan={plan} {...(figures && { figures })} />
          {figures && <MoreFigures plan={plan} figures={figures} />}
        </div>
      )}
    </article>
  );
};
