/** An image or video with the views that the model sees drawn over it. */
import type { Attachment } from "../data/conversation.js";
import type { SeenMedium, SeenView } from "../data/figures.js";
import { describeViews } from "./format.js";
import { useObjectUrl } from "./object-url.js";

/** Percent of the longer side by which a view is drawn smaller, so that neighbours stay apart. */
const inset = { whole: 0.8, part: 2.6 };

const ViewBox = ({ view, medium }: { readonly view: SeenView; readonly medium: SeenMedium }) => {
  if (view.box === null) return null;
  const { left, top, width, height } = view.box;
  const scale = 100 / Math.max(medium.width, medium.height);
  const gap = inset[view.role];
  const place = {
    x: left * scale + gap / 2,
    y: top * scale + gap / 2,
    width: Math.max(0.5, width * scale - gap),
    height: Math.max(0.5, height * scale - gap),
  };
  return (
    <g class={`view ${view.role}`} data-role={view.role}>
      <rect class="under" {...place} />
      <rect class="line" {...place} />
    </g>
  );
};

export const SeenPicture = ({
  attachment,
  medium,
}: {
  readonly attachment: Attachment;
  readonly medium?: SeenMedium;
}) => {
  const url = useObjectUrl(attachment.blob);
  const scale = medium ? 100 / Math.max(medium.width, medium.height) : 1;
  return (
    <div class="seen">
      {attachment.kind === "image" ? (
        <img src={url} alt={attachment.name} />
      ) : (
        <video src={url} controls muted playsInline aria-label={attachment.name} />
      )}
      {medium && (
        <svg
          class="views"
          viewBox={`0 0 ${medium.width * scale} ${medium.height * scale}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Views: ${describeViews(medium)}`}
        >
          {medium.views.map((view, index) => (
            <ViewBox key={index} view={view} medium={medium} />
          ))}
        </svg>
      )}
    </div>
  );
};
