import { randomUUID } from "node:crypto";

/** An uploaded file, in OpenAI's form. */
export type Upload = {
  readonly id: string;
  readonly object: "file";
  readonly bytes: number;
  readonly created_at: number;
  readonly expires_at: number;
  readonly filename: string;
  readonly purpose: string;
};

type Held = { readonly upload: Upload; readonly scope: string; readonly data: Uint8Array };

export type UploadStoreOptions = {
  /** Bytes of all uploads together. */
  readonly maxBytes: number;
  readonly lifetimeSeconds: number;
  /** Seconds since 1970; the clock when absent. */
  readonly now?: () => number;
};

/**
 * Uploaded media and media with a name of their own (`uuid`), kept in memory up to a bound of bytes,
 * the oldest given up first. Whoever asks sees only what the same client (`scope`) put in.
 */
export class UploadStore {
  private readonly held = new Map<string, Held>();
  private bytes = 0;

  constructor(private readonly options: UploadStoreOptions) {}

  get heldBytes(): number {
    this.dropExpired();
    return this.bytes;
  }

  private now(): number {
    return Math.floor(this.options.now?.() ?? Date.now() / 1000);
  }

  /** Keeps a file; undefined when it alone is larger than the bound. `id` replaces an earlier one. */
  add(
    scope: string,
    data: Uint8Array,
    { filename, purpose, id }: { filename: string; purpose: string; id?: string },
  ): Upload | undefined {
    this.dropExpired();
    if (data.byteLength > this.options.maxBytes) return undefined;
    const created = this.now();
    const upload: Upload = {
      id: id ?? `file-${randomUUID().replaceAll("-", "")}`,
      object: "file",
      bytes: data.byteLength,
      created_at: created,
      expires_at: created + this.options.lifetimeSeconds,
      filename,
      purpose,
    };
    this.drop(this.keyOf(scope, upload.id));
    for (const key of this.held.keys()) {
      if (this.bytes + data.byteLength <= this.options.maxBytes) break;
      this.drop(key);
    }
    this.held.set(this.keyOf(scope, upload.id), { upload, scope, data });
    this.bytes += data.byteLength;
    return upload;
  }

  get(
    scope: string,
    id: string,
  ): { readonly upload: Upload; readonly data: Uint8Array } | undefined {
    this.dropExpired();
    return this.held.get(this.keyOf(scope, id));
  }

  list(scope: string): Upload[] {
    this.dropExpired();
    return [...this.held.values()]
      .filter((held) => held.scope === scope)
      .map(({ upload }) => upload);
  }

  delete(scope: string, id: string): boolean {
    return this.drop(this.keyOf(scope, id));
  }

  private keyOf(scope: string, id: string): string {
    return JSON.stringify([scope, id]);
  }

  private drop(key: string): boolean {
    const held = this.held.get(key);
    if (held === undefined) return false;
    this.held.delete(key);
    this.bytes -= held.data.byteLength;
    return true;
  }

  private dropExpired(): void {
    const now = this.now();
    for (const [key, { upload }] of this.held) if (upload.expires_at <= now) this.drop(key);
  }
}
