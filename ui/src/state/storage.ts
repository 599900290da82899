/** Small choices that outlive a page load (theme, time zone, author of silences). A browser that forbids storage only forgets them. */
export function remembered(key: string): string | undefined {
  try {
    return localStorage.getItem(`novaobs.${key}`) ?? undefined;
  } catch {
    return undefined;
  }
}

export function remember(key: string, value: string | undefined): void {
  try {
    if (value === undefined) localStorage.removeItem(`novaobs.${key}`);
    else localStorage.setItem(`novaobs.${key}`, value);
  } catch {
    // Nothing to do: see above.
  }
}
