import { OptionsError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";

export type Features = Readonly<Record<string, TensorData>>;

const bytesOf = (features: Features): number =>
  Object.values(features).reduce((bytes, tensor) => bytes + tensor.data.byteLength, 0);

/** Image features by key, the least recently used given up first when a bound of bytes is reached. */
export class FeatureCache {
  // A Map keeps insertion order; a used entry is put back at the end.
  private readonly entries = new Map<string, Features>();
  private heldBytes = 0;

  /** Throws `OptionsError` for a bound below 0; 0 keeps nothing. */
  constructor(readonly maxBytes: number) {
    if (!(maxBytes >= 0)) {
      throw new OptionsError(
        `FeatureCache: the bound must be 0 bytes or more, got ${maxBytes}; leave featureCacheBytes out for the default`,
      );
    }
  }

  get bytes(): number {
    return this.heldBytes;
  }

  get(key: string): Features | undefined {
    const features = this.entries.get(key);
    if (features !== undefined) {
      this.entries.delete(key);
      this.entries.set(key, features);
    }
    return features;
  }

  /** Keeps `features`, unless they alone are larger than the bound. */
  set(key: string, features: Features): void {
    const bytes = bytesOf(features);
    if (bytes > this.maxBytes) return;
    this.delete(key);
    for (const oldest of this.entries.keys()) {
      if (this.heldBytes + bytes <= this.maxBytes) break;
      this.delete(oldest);
    }
    this.entries.set(key, features);
    this.heldBytes += bytes;
  }

  private delete(key: string): void {
    const known = this.entries.get(key);
    if (known === undefined) return;
    this.entries.delete(key);
    this.heldBytes -= bytesOf(known);
  }
}
