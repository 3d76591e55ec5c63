// The page's language: French unless the address (?lang=en) or an earlier choice says otherwise.
import { en } from "./en.ts";
import { type Dictionary, fr } from "./fr.ts";

export type Language = "fr" | "en";
const DICTIONARIES: Record<Language, Dictionary> = { fr, en };
export const LOCALES: Record<Language, string> = { fr: "fr-CA", en: "en-CA" };
const KEPT = "vigie.language";

function first(): Language {
  const asked = new URLSearchParams(location.search).get("lang") ?? remembered();
  return asked === "en" ? "en" : "fr";
}

// Private windows and strict settings refuse storage; the page then simply starts in French.
function remembered(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null;
  }
}

class LanguageChoice {
  current = $state<Language>(first());

  get t(): Dictionary {
    return DICTIONARIES[this.current];
  }

  get locale(): string {
    return LOCALES[this.current];
  }

  get other(): Language {
    return this.current === "fr" ? "en" : "fr";
  }

  use(language: Language): void {
    this.current = language;
    try {
      localStorage.setItem(KEPT, language);
    } catch {
      // not kept: see remembered()
    }
  }
}

export const language = new LanguageChoice();
