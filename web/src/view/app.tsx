/** The page: history, conversation, and where the next question is written. */
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { createAnswerers } from "../answer/answerers.js";
import {
  type Attachment,
  type Conversation,
  emptyConversation,
  type Lane,
} from "../data/conversation.js";
import {
  deleteAllConversations,
  deleteConversation,
  listConversations,
  saveConversation,
} from "../data/history.js";
import { type Limits, listModels, type ModelCard, ServerError } from "../data/server.js";
import {
  applyTheme,
  loadApiKey,
  loadSettings,
  type Settings,
  saveSettings,
} from "../data/settings.js";
import { useChat } from "./chat-state.js";
import { attachmentsOf, Composer } from "./composer.js";
import { formatBytes } from "./format.js";
import { HistoryPanel } from "./history-panel.js";
import { CompareIcon, EyeMark, MenuIcon, SettingsIcon } from "./icons.js";
import { KeyForm } from "./key-form.js";
import { LaneControls } from "./lane-controls.js";
import { LoadingLine } from "./loading-line.js";
import { Modal } from "./modal.js";
import { usePlans } from "./plan-state.js";
import { SettingsDialog } from "./settings-dialog.js";
import { Turns } from "./turns.js";
import { useDroppedFiles, useEscape, useFollowedEnd, useMedia } from "./window-events.js";

type Server = { readonly models: readonly ModelCard[]; readonly limits: Limits };

/** Why the server cannot be asked. */
type Refusal =
  | { readonly type: "key"; readonly isWrong: boolean }
  | { readonly type: "problem"; readonly reason: string };

/** The lanes that were set, as far as their models are still there; else the first model. */
const lanesFor = (lanes: readonly Lane[], models: readonly ModelCard[]): Lane[] => {
  const known = lanes.filter(({ model }) => models.some(({ id }) => id === model));
  return known.length > 0 ? known : [{ model: models[0].id, place: "server", budget: {} }];
};

/** A second lane that differs from the first: another model, or another budget. */
const otherLane = ([first]: readonly Lane[], models: readonly ModelCard[]): Lane => {
  const other = models.find(({ id }) => id !== first.model);
  return other ? { model: other.id, place: "server", budget: {} } : first;
};

export const App = () => {
  const [server, setServer] = useState<Server>();
  const [refusal, setRefusal] = useState<Refusal>();
  const [settings, setSettings] = useState<Settings>(loadSettings);
  const [conversations, setConversations] = useState<readonly Conversation[]>([]);
  const [text, setText] = useState("");
  const [media, setMedia] = useState<readonly Attachment[]>([]);
  const [notice, setNotice] = useState("");
  const [said, setSaid] = useState("");
  const [open, setOpen] = useState<"settings" | "history">();
  const [numReady, setNumReady] = useState(0);
  const textRef = useRef<HTMLTextAreaElement>(null);
  const mainRef = useRef<HTMLElement>(null);

  const connect = useCallback(async () => {
    try {
      const found = await listModels();
      setServer(found);
      setRefusal(undefined);
      setSettings((before) => ({ ...before, lanes: lanesFor(before.lanes, found.models) }));
    } catch (error) {
      const asksKey = error instanceof ServerError && error.status === 401;
      const isWrong = loadApiKey() !== "";
      const reason = error instanceof Error ? error.message : String(error);
      setRefusal(asksKey ? { type: "key", isWrong } : { type: "problem", reason });
    }
  }, []);
  useEffect(() => void connect(), [connect]);
  useEffect(() => {
    listConversations().then(setConversations, () =>
      setNotice("This browser keeps no history (its storage is off)."),
    );
  }, []);
  useEffect(() => {
    applyTheme(settings.theme);
    if (server) saveSettings(settings);
  }, [settings, server]);

  const models = server?.models ?? [];
  const answerers = useMemo(() => createAnswerers(server?.models ?? []), [server]);
  const keep = useCallback((changed: Conversation): Promise<void> => {
    setConversations((all) => [changed, ...all.filter(({ id }) => id !== changed.id)]);
    return saveConversation(changed).catch(() => setNotice("The conversation could not be kept."));
  }, []);
  const countReady = useCallback(() => setNumReady((count) => count + 1), []);
  const chat = useChat({ answererOf: answerers.of, onChanged: keep, onSaid: setSaid });
  const { conversation, isRunning } = chat;
  const plans = usePlans({
    text,
    media,
    settings,
    conversation,
    isReady: server !== undefined && !isRunning,
    numReady,
    answererOf: answerers.ifReady,
  });

  const addFiles = (files: Iterable<File>) => {
    const { media: added, refused } = attachmentsOf(files);
    const most = server?.limits.max_media_bytes ?? Number.POSITIVE_INFINITY;
    const large = added.filter(({ blob }) => blob.size > most).map(({ name }) => name);
    setMedia((before) => [...before, ...added.filter(({ blob }) => blob.size <= most)]);
    const problems = [
      refused.length > 0 ? `Neither image nor video: ${refused.join(", ")}.` : "",
      large.length > 0 ? `Larger than ${formatBytes(most)}: ${large.join(", ")}.` : "",
    ];
    setNotice(problems.join(" ").trim());
    textRef.current?.focus();
  };
  const isWide = useMedia("(min-width: 48.01rem)");
  const isDragging = useDroppedFiles(addFiles);
  useEscape(chat.stop);
  const send = async () => {
    const asked = text.trim();
    const files = media;
    setText("");
    setMedia([]);
    setNotice("");
    await chat.ask(asked, files, settings);
  };
  const show = (next: Conversation) => {
    chat.stop();
    chat.open(next);
    setOpen(undefined);
    textRef.current?.focus();
  };
  const setLane = (index: number, lane: Lane) =>
    setSettings({
      ...settings,
      lanes: settings.lanes.map((old, at) => (at === index ? lane : old)),
    });

  const history = (
    <HistoryPanel
      conversations={conversations}
      currentId={conversation.id}
      onNew={() => {
        setText("");
        setMedia([]);
        show(emptyConversation());
      }}
      onOpen={show}
      onDelete={async ({ id }) => {
        await deleteConversation(id);
        setConversations((all) => all.filter((each) => each.id !== id));
        if (id === conversation.id) show(emptyConversation());
      }}
      onDeleteAll={async () => {
        if (!confirm("Delete all conversations of this browser?")) return;
        await deleteAllConversations();
        setConversations([]);
        show(emptyConversation());
      }}
    />
  );
  useFollowedEnd(mainRef, conversation);
  const isComparing = settings.lanes.length > 1;
  const numEarlier = conversation.turns.reduce((sum, turn) => sum + turn.media.length, 0);

  return (
    <div class="page">
      <a class="skip" href="#question">
        Skip to the question
      </a>
      <header class="top">
        <button
          type="button"
          class="quiet menu"
          aria-label="Conversations"
          onClick={() => setOpen("history")}
        >
          <MenuIcon />
        </button>
        <h1>
          <EyeMark />
          Saccade
        </h1>
        <div class="top-end">
          {models.length > 0 && (
            <button
              type="button"
              class="quiet"
              aria-pressed={isComparing}
              onClick={() =>
                setSettings({
                  ...settings,
                  lanes: isComparing
                    ? settings.lanes.slice(0, 1)
                    : [...settings.lanes, otherLane(settings.lanes, models)],
                })
              }
            >
              <CompareIcon />
              <span>Side by side</span>
            </button>
          )}
          <button type="button" class="quiet" onClick={() => setOpen("settings")}>
            <SettingsIcon />
            <span>Settings</span>
          </button>
        </div>
      </header>
      <aside>{history}</aside>
      <main ref={mainRef}>
        {refusal?.type === "key" ? (
          <KeyForm isWrong={refusal.isWrong} onKey={() => void connect()} />
        ) : refusal !== undefined ? (
          <div class="problem" role="alert">
            <p>{refusal.reason}</p>
            <button type="button" class="primary" onClick={() => void connect()}>
              Try again
            </button>
          </div>
        ) : (
          <Turns
            conversation={conversation}
            onExample={({ file, question }) => {
              setText(question);
              addFiles([file]);
            }}
          />
        )}
      </main>
      <footer>
        {notice !== "" && (
          <p class="notice" role="alert">
            {notice}
          </p>
        )}
        {server && (
          <div class={isComparing ? "lanes two" : "lanes"}>
            {settings.lanes.map((lane, index) => (
              <div key={index}>
                <LaneControls
                  lane={lane}
                  index={index}
                  count={settings.lanes.length}
                  models={models}
                  isWide={isWide}
                  onChange={(changed) => setLane(index, changed)}
                />
                <LoadingLine lane={lane} answerers={answerers} onReady={countReady} />
              </div>
            ))}
          </div>
        )}
        <Composer
          text={text}
          media={media}
          plans={plans}
          numEarlier={numEarlier}
          isRunning={isRunning}
          isReady={server !== undefined}
          textRef={textRef}
          onText={setText}
          onFiles={addFiles}
          onRemove={(id) => setMedia(media.filter((each) => each.id !== id))}
          onSend={() => void send()}
          onStop={chat.stop}
        />
      </footer>
      <div class="visually-hidden" role="status" aria-live="polite">
        {said}
      </div>
      {isDragging && <div class="drop">Drop images or videos anywhere</div>}
      {open === "settings" && (
        <SettingsDialog
          settings={settings}
          maxAnswerTokens={server?.limits.max_answer_tokens ?? 4096}
          onChange={setSettings}
          onClose={() => setOpen(undefined)}
        />
      )}
      {open === "history" && (
        <Modal title="Conversations" onClose={() => setOpen(undefined)}>
          {history}
        </Modal>
      )}
    </div>
  );
};
