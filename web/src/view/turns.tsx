import type { Attachment, Conversation, Turn } from "../data/conversation.js";
import { AnswerCard } from "./answer-card.js";
import { Comparison } from "./comparison.js";
import { type Example, Examples } from "./examples.js";
import { useObjectUrl } from "./object-url.js";

const Thumbnail = ({ attachment }: { readonly attachment: Attachment }) => {
  const url = useObjectUrl(attachment.blob);
  return attachment.kind === "image" ? (
    <img class="thumbnail" src={url} alt={attachment.name} />
  ) : (
    <video class="thumbnail" src={url} muted aria-label={attachment.name} />
  );
};

const TurnView = ({
  turn,
  media,
}: {
  readonly turn: Turn;
  readonly media: readonly Attachment[];
}) => (
  <section class="turn" aria-label="Question and answer">
    <div class="question">
      {turn.media.length > 0 && (
        <div class="thumbnails">
          {turn.media.map((attachment) => (
            <Thumbnail key={attachment.id} attachment={attachment} />
          ))}
        </div>
      )}
      <h2>{turn.text}</h2>
    </div>
    <div class={turn.answers.length > 1 ? "answers two" : "answers"}>
      {turn.answers.map((answer, index) => (
        <AnswerCard key={index} answer={answer} media={media} />
      ))}
    </div>
    <Comparison answers={turn.answers} />
  </section>
);

/** All turns, or what there is to do before the first. */
export const Turns = ({
  conversation: { turns },
  onExample,
}: {
  readonly conversation: Conversation;
  readonly onExample: (example: Example) => void;
}) => {
  if (turns.length === 0) {
    return (
      <div class="welcome">
        <h2>Ask an image, see what it cost</h2>
        <p>
          Drop, paste or photograph an image or a video. The parts that the model looks at are drawn
          over it, with the tokens, the computation and the memory that the answer took.
        </p>
        <Examples onChoose={onExample} />
      </div>
    );
  }
  return (
    <>
      {turns.map((turn, index) => (
        <TurnView
          key={turn.id}
          turn={turn}
          media={turns.slice(0, index + 1).flatMap((each) => each.media)}
        />
      ))}
    </>
  );
};
