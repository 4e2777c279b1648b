import { Random } from '../../pipeline/random.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';

/** Texts of many scripts, drawn by Zipf's law from lexicons of syllables: the same in every run, and no two lines alike. */
export interface Script {
  readonly name: string;
  readonly text: (numBytes: number) => string;
  /** Syllables or characters, for a vocabulary that knows the script. */
  readonly parts: readonly string[];
}

interface Writing {
  readonly parts: readonly string[];
  /** Most parts of a word. */
  readonly maxParts: number;
  readonly numWords?: number;
  /** Between words, between clauses and at the end of a sentence. */
  readonly marks?: readonly [string, string, string];
  readonly hasCase?: boolean;
  readonly form?: 'NFC' | 'NFD';
}

const LATIN_MARKS = [' ', ', ', '. '] as const;

/** All that begins with one of the first and goes on with one of the second, third, … */
function combine(...groups: readonly string[]): string[] {
  return groups
    .map((group) => group.split(' ').map((part) => (part === '-' ? '' : part)))
    .reduce((starts, ends) => starts.flatMap((start) => ends.map((end) => start + end)));
}

const range = (first: number, last: number): string[] =>
  Array.from({ length: last - first + 1 }, (_, index) => String.fromCodePoint(first + index));

/** Words in the order of their frequency: the frequent ones are short. */
function lexicon({ parts, maxParts, numWords = 200_000 }: Writing, seed: number): string[] {
  const random = new Random(seed);
  const words = new Set<string>();
  while (words.size < numWords) {
    const most = Math.min(maxParts, 1 + Math.floor(Math.log2(2 + words.size / 20)));
    const numParts = 1 + random.below(most);
    words.add(Array.from({ length: numParts }, () => parts[random.below(parts.length)]!).join(''));
  }
  return [...words];
}

/**
 * Sentences up to a size in UTF-8. Words are drawn by Zipf's law, which falls faster beyond the first thousands of ranks
 * (Montemurro 2001, "Beyond the Zipf–Mandelbrot law in quantitative linguistics").
 */
function sentences(words: readonly string[], writing: Writing, numBytes: number, seed: number): string {
  const { marks = LATIN_MARKS, hasCase = false } = writing;
  const random = new Random(seed, 1);
  let sum = 0;
  const cumulative = Float64Array.from(words, (_, rank) => (sum += 1 / ((rank + 2.7) * (1 + rank / 8000))));
  const pieces: string[] = [];
  let size = 0;
  for (let place = 0; size < numBytes; ) {
    let word = words[rankOf(cumulative, random.float() * sum)]!;
    if (random.below(60) === 0) word = String(random.below(3000));
    if (hasCase && (place === 0 || random.below(12) === 0)) word = capitalized(word);
    const isLast = place > 4 && random.below(14) === 0;
    const piece = word + marks[isLast ? 2 : random.below(9) === 0 ? 1 : 0];
    pieces.push(piece);
    size += Buffer.byteLength(piece);
    place = isLast ? 0 : place + 1;
  }
  const text = pieces.join('');
  return writing.form === undefined ? text : text.normalize(writing.form);
}

function rankOf(cumulative: Float64Array, value: number): number {
  let low = 0;
  let high = cumulative.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cumulative[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

function capitalized(word: string): string {
  const [first = '', ...rest] = word;
  return first.toUpperCase() + rest.join('');
}

function script(name: string, writing: Writing): Script {
  const seed = Buffer.from(name).reduce((sum, byte) => 31 * sum + byte, 7) % 1_000_003;
  const text = (numBytes: number): string => sentences(lexicon(writing, seed), writing, numBytes, seed);
  return { name, text, parts: writing.parts };
}

const french = combine(
  'b c d f g j l m n p qu r s t v ch tr pl',
  'a e é è ê i o u ou eau oi ai û ô',
  '- - n r s l t',
);
const vietnamese = combine(
  'b c ch đ g kh l m nh ng ph t th tr v x',
  'ạ ả ấ ầ ế ệ ị ọ ố ộ ớ ợ ụ ứ ử ữ iế ườ uyễ',
  '- n ng c t m nh',
);
const russian = combine('б в г д ж з к л м н п р с т ф х ш', 'а е и о у ы я ю ё', '- - н т р ст й ль');
const greek = combine('β γ δ θ κ λ μ ν π ρ σ τ φ χ', 'α ε η ι ο υ ω ά έ ή ί ό ύ ώ ου αι', '- - ν ς ρ');
const arabic = combine('ا ب ت ج ح خ د ر س ش ع ف ق ك ل م ن ه و ي ال أ إ آ', '- - ا و ي ة ّ َ ِ', '- ر ل م ن');
const devanagari = combine('क ख ग घ च ज ट ड त द न प फ ब भ म य र ल व श स ह क़ ज़', '- ा ि ी ु ू े ै ो ौ ं', '- - ् र्');
const thai = combine(
  '- เ แ โ ไ',
  'ก ข ค ง จ ช ด ต ท น บ ป พ ม ย ร ล ว ส ห อ',
  '- า ี ิ ู ุ ำ ั',
  '- ่ ้',
  '- น ง ก ม',
);
const han = range(0x4e00, 0x57ff);
const kana = [...range(0x3041, 0x3093), ...range(0x30a1, 0x30f3)];
const japanese = [...kana, ...kana, ...kana.map((part) => `${part}ー`), ...range(0x4e00, 0x4eff)];
const hangul = range(0xac00, 0xd7a3).filter((_, index) => index % 7 === 0);
const emoji = [
  ...range(0x1f300, 0x1f5ff),
  ...range(0x1f600, 0x1f64f),
  '👨‍👩‍👧‍👦',
  '👍🏽',
  '🇫🇷',
  '❤️',
  '1️⃣',
  '🏴󠁧󠁢󠁥󠁮󠁧󠁿',
];
const english = combine('b c d f g h l m n p r s t w th st', 'a e i o u ea ou', '- n r s t ng');

export const SCRIPTS: readonly Script[] = [
  script('French', { parts: french, maxParts: 4, hasCase: true }),
  script('French, NFD', { parts: french, maxParts: 4, hasCase: true, form: 'NFD' }),
  script('Vietnamese, NFD', { parts: vietnamese, maxParts: 1, hasCase: true, numWords: 1500, form: 'NFD' }),
  script('Russian', { parts: russian, maxParts: 5, hasCase: true }),
  script('Greek', { parts: greek, maxParts: 5, hasCase: true }),
  script('Arabic', { parts: arabic, maxParts: 3 }),
  script('Hindi', { parts: devanagari, maxParts: 3, marks: [' ', ', ', '। '] }),
  script('Thai', { parts: thai, maxParts: 3, marks: ['', ' ', ' '] }),
  script('Chinese', { parts: han, maxParts: 3, marks: ['', ',', '。'] }),
  script('Japanese', { parts: japanese, maxParts: 4, marks: ['', '、', '。'] }),
  script('Korean', { parts: hangul, maxParts: 4 }),
  script('emoji and words', { parts: [...emoji, ...english], maxParts: 2, marks: [' ', '', ' '] }),
  script('mixed scripts', {
    parts: [...russian.slice(0, 400), ...han.slice(0, 400), ...thai.slice(0, 400), ...french.slice(0, 400)],
    maxParts: 3,
    marks: [' ', ' — ', '… '],
  }),
];

/**
 * Sentences like those of an encyclopedia: the words of BERT's vocabulary in its order, which is that of their frequency,
 * then 250,000 rare ones made of its pieces.
 */
export function encyclopedia(numBytes: number): string {
  const { vocabulary } = builtinTokenizer();
  const frequent = vocabulary.filter((token) => /^[a-z]+$/.test(token));
  const starts = frequent.filter(({ length }) => length > 2 && length < 6);
  const ends = vocabulary.filter((token) => /^##[a-z]{2,6}$/.test(token)).map((token) => token.slice(2));
  const random = new Random(5);
  const rare = Array.from({ length: 250_000 }, () => {
    const middle = random.below(3) === 0 ? ends[random.below(ends.length)]! : '';
    return starts[random.below(starts.length)]! + middle + ends[random.below(ends.length)]!;
  });
  const writing = { parts: [], maxParts: 0, hasCase: true };
  // Articles of one letter come last in the vocabulary's order of the alphabet, and are frequent.
  return sentences([...frequent.filter(({ length }) => length > 1), ...rare], writing, numBytes, 5);
}
