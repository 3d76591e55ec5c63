// Numbers, times and durations by locale. Formatters are kept: making one costs more than using it.
const numbers = new Map<string, Intl.NumberFormat>();
const dates = new Map<string, Intl.DateTimeFormat>();

export function number(locale: string, value: number, digits = 0): string {
  const key = `${locale} ${digits}`;
  let format = numbers.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    numbers.set(key, format);
  }
  return format.format(value);
}

/** A value with its unit, as many decimals as its size makes sensible. */
export function quantity(locale: string, value: number, unit = ""): string {
  const size = Math.abs(value);
  const digits = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : 2;
  return unit ? `${number(locale, value, digits)}\u00a0${unit}` : number(locale, value, digits);
}

function dateFormat(locale: string, zone: string | undefined, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale} ${zone} ${JSON.stringify(options)}`;
  let format = dates.get(key);
  if (!format) {
    format = new Intl.DateTimeFormat(locale, zone ? { ...options, timeZone: zone } : options);
    dates.set(key, format);
  }
  return format;
}

/** 24-hour clock in both languages: operators compare it with logs. */
export function clock(locale: string, utc: number, zone?: string, seconds = true): string {
  const options: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (seconds) options.second = "2-digit";
  const parts = dateFormat(locale, zone, options).formatToParts(utc * 1000);
  const of = (type: Intl.DateTimeFormatPartTypes) => parts.find((part) => part.type === type)?.value ?? "";
  return seconds ? `${of("hour")}:${of("minute")}:${of("second")}` : `${of("hour")}:${of("minute")}`;
}

export function day(locale: string, utc: number, zone?: string): string {
  return dateFormat(locale, zone, { weekday: "long", day: "numeric", month: "long" }).format(utc * 1000);
}

/** A span in the largest two units that matter: 42 s, 3 min 05 s, 1 h 12 min. */
export function span(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}\u00a0s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}\u00a0min\u00a0${String(whole % 60).padStart(2, "0")}\u00a0s`;
  return `${Math.floor(minutes / 60)}\u00a0h\u00a0${String(minutes % 60).padStart(2, "0")}\u00a0min`;
}

/** The first figures of a hash: enough to compare by eye. */
export function shortHash(hash: string): string {
  return hash.replace(/^sha256:/, "").slice(0, 8);
}
