const textAt = (bytes: Uint8Array, start: number, length: number): string =>
  String.fromCharCode(...bytes.subarray(start, start + length));

/** So many first bytes tell a container of moving pictures. */
export const startBytes = 64;

/** Whether a file that starts so is an MP4, QuickTime, Matroska, WebM, AVI, Ogg, FLV or MPEG video. */
export const isVideoStart = (start: Uint8Array): boolean => {
  // An AVIF or HEIF picture lies in the same container as MP4 and says so in its brands.
  if (textAt(start, 4, 4) === "ftyp") return !/avif|avis|heic|mif1/.test(textAt(start, 8, 24));
  if (textAt(start, 0, 4) === "RIFF") return textAt(start, 8, 4) === "AVI ";
  const [a, b, c, d] = start;
  const code = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  return (
    code === 0x1a45dfa3 || // Matroska, WebM
    code === 0x000001ba || // MPEG program stream
    code === 0x000001b3 || // MPEG elementary stream
    ["OggS", "FLV\x01"].includes(textAt(start, 0, 4))
  );
};

/** Whether bytes may be more than one picture: a video, or a GIF or WebP, animated or not. */
export const mayMove = (bytes: Uint8Array): boolean =>
  isVideoStart(bytes) || /^(GIF8|RIFF)/.test(textAt(bytes, 0, 4));
