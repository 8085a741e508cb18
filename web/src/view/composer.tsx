/** Where a question is written, with its images and videos. */
import type { RefObject } from "preact";
import { useRef, useState } from "preact/hooks";
import { type Attachment, newId } from "../data/conversation.js";
import { Attachments, type LanePlan, PlanLines } from "./attachments.js";
import { CameraDialog } from "./camera-dialog.js";
import { AttachIcon, CameraIcon, SendIcon, StopIcon } from "./icons.js";

/** Files that can be looked at; the others' names come back. */
export const attachmentsOf = (
  files: Iterable<File>,
): { readonly media: Attachment[]; readonly refused: string[] } => {
  const media: Attachment[] = [];
  const refused: string[] = [];
  for (const file of files) {
    const kind = file.type.startsWith("image/")
      ? "image"
      : file.type.startsWith("video/")
        ? "video"
        : undefined;
    if (kind === undefined) refused.push(file.name);
    else media.push({ id: newId(), kind, name: file.name || kind, blob: file });
  }
  return { media, refused };
};

export const Composer = ({
  text,
  media,
  plans,
  numEarlier,
  isRunning,
  isReady,
  textRef,
  onText,
  onFiles,
  onRemove,
  onSend,
  onStop,
}: {
  readonly text: string;
  readonly media: readonly Attachment[];
  readonly plans: readonly LanePlan[];
  readonly numEarlier: number;
  readonly isRunning: boolean;
  readonly isReady: boolean;
  readonly textRef: RefObject<HTMLTextAreaElement | null>;
  readonly onText: (text: string) => void;
  readonly onFiles: (files: Iterable<File>) => void;
  readonly onRemove: (id: string) => void;
  readonly onSend: () => void;
  readonly onStop: () => void;
}) => {
  const fileRef = useRef<HTMLInputElement>(null);
  const [isCameraOpen, setCameraOpen] = useState(false);
  const canSend = isReady && !isRunning && text.trim() !== "";
  return (
    <form
      class="composer"
      aria-label="Ask"
      onSubmit={(event) => {
        event.preventDefault();
        if (isRunning) onStop();
        else if (canSend) onSend();
      }}
    >
      {media.length > 0 && (
        <Attachments media={media} plans={plans} numEarlier={numEarlier} onRemove={onRemove} />
      )}
      <div class="write">
        <label class="visually-hidden" for="question">
          Question
        </label>
        <textarea
          id="question"
          ref={textRef}
          rows={2}
          placeholder="Ask about an image or a video…"
          value={text}
          onInput={({ currentTarget }) => onText(currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            if (canSend) onSend();
          }}
          onPaste={(event) => {
            const files = event.clipboardData?.files;
            if (files === undefined || files.length === 0) return;
            event.preventDefault();
            onFiles(files);
          }}
        />
        <div class="buttons">
          <input
            ref={fileRef}
            id="files"
            class="visually-hidden"
            type="file"
            accept="image/*,video/*"
            multiple
            tabIndex={-1}
            aria-label="Images and videos"
            onChange={({ currentTarget }) => {
              onFiles([...(currentTarget.files ?? [])]);
              currentTarget.value = "";
            }}
          />
          <button type="button" class="quiet" onClick={() => fileRef.current?.click()}>
            <AttachIcon />
            <span>Attach</span>
          </button>
          <button type="button" class="quiet" onClick={() => setCameraOpen(true)}>
            <CameraIcon />
            <span>Camera</span>
          </button>
          <button type="submit" class="send" disabled={!isRunning && !canSend}>
            {isRunning ? <StopIcon /> : <SendIcon />}
            <span>{isRunning ? "Stop" : "Ask"}</span>
          </button>
        </div>
      </div>
      <PlanLines plans={plans} />
      {isCameraOpen && (
        <CameraDialog
          onPhoto={(photo) => onFiles([photo])}
          onClose={() => {
            setCameraOpen(false);
            textRef.current?.focus();
          }}
        />
      )}
    </form>
  );
};
