/** Earlier conversations, kept in this browser. */
import type { Conversation } from "../data/conversation.js";
import { exportConversations } from "../data/history.js";
import { CloseIcon, PlusIcon } from "./icons.js";

/** Hands a file to the person. */
const download = (blob: Blob, name: string): void => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
};

export const HistoryPanel = ({
  conversations,
  currentId,
  onNew,
  onOpen,
  onDelete,
  onDeleteAll,
}: {
  readonly conversations: readonly Conversation[];
  readonly currentId: string;
  readonly onNew: () => void;
  readonly onOpen: (conversation: Conversation) => void;
  readonly onDelete: (conversation: Conversation) => void;
  readonly onDeleteAll: () => void;
}) => (
  <nav class="history" aria-label="Conversations">
    <button type="button" class="new" onClick={onNew}>
      <PlusIcon />
      <span>New conversation</span>
    </button>
    <ul>
      {conversations.map((conversation) => (
        <li key={conversation.id}>
          <button
            type="button"
            class="open"
            aria-current={conversation.id === currentId ? "true" : undefined}
            onClick={() => onOpen(conversation)}
          >
            {conversation.title}
          </button>
          <button
            type="button"
            class="quiet"
            aria-label={`Delete ${conversation.title}`}
            onClick={() => onDelete(conversation)}
          >
            <CloseIcon />
          </button>
        </li>
      ))}
    </ul>
    {conversations.length > 0 && (
      <div class="history-end">
        <button
          type="button"
          class="quiet"
          onClick={async () =>
            download(await exportConversations(conversations), "saccade-conversations.json")
          }
        >
          Export
        </button>
        <button type="button" class="quiet" onClick={onDeleteAll}>
          Delete all
        </button>
      </div>
    )}
    <p class="kept">Kept in this browser only.</p>
  </nav>
);
