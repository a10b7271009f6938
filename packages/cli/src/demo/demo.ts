export async function runDemo(
  _options: { agents: number; imageBytes: number; json: boolean; keep: boolean; shoal: string[] },
  _signal: AbortSignal,
): Promise<{ ok: boolean }> {
  return { ok: false }
}
