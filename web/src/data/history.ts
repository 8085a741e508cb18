/** Conversations kept in this browser (IndexedDB), images and videos included. */
import type { Conversation } from "./conversation.js";

const store = "conversations";

/** The result once the whole transaction is written: before, a page that is left takes it back. */
const written = <Result>(
  transaction: IDBTransaction,
  request: IDBRequest<Result>,
): Promise<Result> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result);
    transaction.onerror = () => reject(transaction.error);
    transaction.onabort = () => reject(transaction.error);
  });

let opened: Promise<IDBDatabase> | undefined;

const open = (): Promise<IDBDatabase> => {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("saccade", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(store, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
};

const withStore = async <Result>(
  mode: IDBTransactionMode,
  use: (objects: IDBObjectStore) => IDBRequest<Result>,
): Promise<Result> => {
  const transaction = (await open()).transaction(store, mode);
  return written(transaction, use(transaction.objectStore(store)));
};

/** All conversations, the latest first. */
export const listConversations = async (): Promise<Conversation[]> => {
  const all: Conversation[] = await withStore("readonly", (objects) => objects.getAll());
  return all.sort((a, b) => b.changedAt - a.changedAt);
};

export const saveConversation = async (conversation: Conversation): Promise<void> => {
  await withStore("readwrite", (objects) => objects.put(conversation));
};

export const deleteConversation = async (id: string): Promise<void> => {
  await withStore("readwrite", (objects) => objects.delete(id));
};

export const deleteAllConversations = async (): Promise<void> => {
  await withStore("readwrite", (objects) => objects.clear());
};

/** A blob as a `data:` URL. */
export const dataUrlOf = (blob: Blob): Promise<string> =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });

/** Conversations as one JSON file, images and videos inside as `data:` URLs. */
export const exportConversations = async (all: readonly Conversation[]): Promise<Blob> => {
  const entries = [];
  for (const { turns, ...rest } of all) {
    const whole = [];
    for (const { media, ...turn } of turns) {
      const files = [];
      for (const { blob, ...medium } of media)
        files.push({ ...medium, url: await dataUrlOf(blob) });
      whole.push({ ...turn, media: files });
    }
    entries.push({ ...rest, turns: whole });
  }
  const text = JSON.stringify({ format: "saccade-conversations-1", conversations: entries });
  return new Blob([text], { type: "application/json" });
};
