/** Images and videos that go with the next question, with what looking at them will cost. */
import type { Attachment } from "../data/conversation.js";
import type { Plan } from "../data/figures.js";
import { describeViews, formatFlops, tokensText } from "./format.js";
import { CloseIcon } from "./icons.js";
import { SeenPicture } from "./seen-picture.js";

export type LanePlan = { readonly plan?: Plan; readonly problem?: string };

export const Attachments = ({
  media,
  plans,
  numEarlier,
  onRemove,
}: {
  readonly media: readonly Attachment[];
  readonly plans: readonly LanePlan[];
  /** Media of earlier questions, which a plan tells first. */
  readonly numEarlier: number;
  readonly onRemove: (id: string) => void;
}) => (
  <ul class="attachments" aria-label="Attached">
    {media.map((attachment, index) => {
      const seen = plans[0]?.plan?.media[numEarlier + index];
      return (
        <li key={attachment.id}>
          <SeenPicture attachment={attachment} {...(seen && { medium: seen })} />
          <div>
            <p class="attachment-name">{attachment.name}</p>
            {seen && <p>{describeViews(seen)}</p>}
          </div>
          <button
            type="button"
            class="quiet"
            aria-label={`Remove ${attachment.name}`}
            onClick={() => onRemove(attachment.id)}
          >
            <CloseIcon />
          </button>
        </li>
      );
    })}
  </ul>
);

/** One line for each lane: what the question will cost. */
export const PlanLines = ({ plans }: { readonly plans: readonly LanePlan[] }) => (
  <div class="plans">
    {plans.map(({ plan, problem }, index) => (
      <p key={index} data-testid="plan" class={problem ? "error" : ""}>
        {plans.length > 1 && <span>{index === 0 ? "Left: " : "Right: "}</span>}
        {problem ??
          (plan
            ? `${plan.media.some(({ awaitsRouter }) => awaitsRouter) ? "up to " : ""}${tokensText(plan.visionTokens)} of vision, ${tokensText(plan.promptTokens)} in all, ${formatFlops(plan.flops)} before the answer`
            : "")}
      </p>
    ))}
  </div>
);
