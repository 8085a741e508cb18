export const mayImport: Readonly<Record<string, readonly string[]>>;
export const sharedFiles: readonly string[];
export const universalFolders: readonly string[];
