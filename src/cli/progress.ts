/** Where progress is written: a terminal gets one line that is redrawn, anything else plain lines. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ProgressOptions {
  readonly stream?: ProgressStream;
  /** Least time between two lines where there is no terminal. Default 10,000 ms. */
  readonly plainIntervalMs?: number;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

export interface ProgressState {
  /** What is being done: `train`, `wikipedia`, … */
  readonly label: string;
  readonly done: number;
  /** Undefined when the end is not known: then there is no bar and no ETA. */
  readonly total: number | undefined;
  /** Figures shown behind the bar, in order: `loss 4.21`, `1.2 k tokens/s`. */
  readonly figures: readonly string[];
}

export interface Progress {
  update(state: ProgressState): void;
  /** Prints a line of its own, above the bar. */
  message(text: string): void;
  /** Draws the last state and moves to a new line. Further updates begin a new bar. */
  finish(): void;
}

const BAR_WIDTH = 24;
const MIN_BAR_WIDTH = 4;
const REDRAW_INTERVAL_MS = 100;

/** Progress of one long task. The ETA comes from the rate since the first update, so a resumed run is right. */
export function createProgress(options: ProgressOptions = {}): Progress {
  const stream = options.stream ?? process.stderr;
  const now = options.now ?? (() => performance.now());
  const isTerminal = stream.isTTY === true;
  const interval = isTerminal ? REDRAW_INTERVAL_MS : (options.plainIntervalMs ?? 10_000);
  let first: { readonly at: number; readonly done: number } | undefined;
  let last: ProgressState | undefined;
  let drawnAt = Number.NEGATIVE_INFINITY;
  let isDrawn = false;

  const draw = (state: ProgressState): void => {
    const at = now();
    drawnAt = at;
    isDrawn = true;
    const width = isTerminal ? (stream.columns ?? 120) - 1 : Number.POSITIVE_INFINITY;
    const line = lineOf(state, etaMs(state, first, at), width);
    stream.write(isTerminal ? `\r\x1b[2K${line.slice(0, width)}` : `${line}\n`);
  };

  return {
    update(state) {
      first ??= { at: now(), done: state.done };
      last = state;
      isDrawn = false;
      if (now() - drawnAt >= interval) draw(state);
    },
    message(text) {
      stream.write(isTerminal ? `\r\x1b[2K${text}\n` : `${text}\n`);
      if (isTerminal && last !== undefined) draw(last);
    },
    finish() {
      if (last === undefined) return;
      if (!isDrawn) draw(last);
      if (isTerminal) stream.write('\n');
      first = undefined;
      last = undefined;
      drawnAt = Number.NEGATIVE_INFINITY;
    },
  };
}

function etaMs(
  state: ProgressState,
  first: { readonly at: number; readonly done: number } | undefined,
  at: number,
): number | undefined {
  if (state.total === undefined || first === undefined) return undefined;
  const done = state.done - first.done;
  if (done <= 0 || at <= first.at) return undefined;
  return ((state.total - state.done) * (at - first.at)) / done;
}

/** The bar gives way where the terminal is too narrow for the figures. */
function lineOf(state: ProgressState, eta: number | undefined, width: number): string {
  const figures = [...state.figures];
  if (eta !== undefined) figures.push(`ETA ${formatDuration(eta)}`);
  if (state.total === undefined || state.total <= 0) return [state.label, ...figures].join('  ');
  const share = Math.min(1, state.done / state.total);
  const text = [`${(share * 100).toFixed(1)} %`, ...figures].join('  ');
  const room = Math.min(BAR_WIDTH, width - state.label.length - text.length - '  []  '.length);
  if (room < MIN_BAR_WIDTH) return `${state.label}  ${text}`;
  const filled = Math.round(share * room);
  return `${state.label}  [${'█'.repeat(filled)}${'░'.repeat(room - filled)}]  ${text}`;
}

/** `4 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
  const minutes = Math.floor(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** `999`, `1.2 k`, `34.5 M`, `6.7 G`: three figures and a decimal prefix. */
export function formatCount(value: number): string {
  for (const [limit, prefix] of [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (Math.abs(value) >= limit) return `${(value / limit).toPrecision(3)} ${prefix}`;
  }
  return String(Math.round(value));
}

/** `512 B`, `1.5 MB`: decimal units, as disks and networks are sold. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  return `${formatCount(bytes)}B`;
}
