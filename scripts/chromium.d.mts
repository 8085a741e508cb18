export function findChromium(): string | undefined;
export function provideChromium(): Promise<{ path: string } | { reason: string }>;
