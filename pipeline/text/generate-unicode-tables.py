"""Writes unicode-tables.ts: what Hugging Face's `tokenizers` does with every code point.

The Rust crates behind BertNormalizer and BertPreTokenizer carry Unicode data of different years, none of them
Node's. So nothing is taken from a Unicode database: the library is asked, one code point after another.

    python3 pipeline/text/generate-unicode-tables.py

needs the Python package `tokenizers` (written with 0.23.3).
"""

import functools
import pathlib
import random

import tokenizers
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xD7A4)

# Bits of a code point's class; the readers in unicode.ts name them too.
REMOVED, TO_SPACE, IDEOGRAPH, NONSPACING, PUNCTUATION, WHITE_SPACE, WORD, DECOMPOSES, LOWERCASES = (
    1 << bit for bit in range(9)
)


def bert(**options):
    settings = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**settings, **options}).normalize_str


clean = bert(clean_text=True)
isolate = bert(handle_chinese_chars=True)
strip = bert(strip_accents=True)
decompose = normalizers.NFD().normalize_str
lower = normalizers.Lowercase().normalize_str
split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str


def word_probe():
    """Asks the library's regex for `\\w`: a token that must stand alone is not matched next to such a character."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.add_tokens([AddedToken("#", single_word=True, normalized=False)])
    hash_id = tokenizer.token_to_id("#")
    return lambda text: hash_id not in tokenizer.encode(text + "#").ids


is_word = word_probe()


def flags_of(c):
    text = chr(c)
    flags = 0
    cleaned = clean(text)
    if cleaned == "":
        flags |= REMOVED
    elif cleaned != text or text == " ":
        assert cleaned == " ", hex(c)
        flags |= TO_SPACE
    if isolate(text) != text:
        assert isolate(text) == f" {text} ", hex(c)
        flags |= IDEOGRAPH
    if decompose(text) != text:
        flags |= DECOMPOSES
    elif strip(text) == "":
        flags |= NONSPACING
    else:
        assert strip(text) == text, hex(c)
    pieces = [piece for piece, _ in split(f"a{text}b")]
    if pieces == ["a", text, "b"]:
        flags |= PUNCTUATION
    elif pieces == ["a", "b"]:
        flags |= WHITE_SPACE
    else:
        assert pieces == [f"a{text}b"], hex(c)
    if is_word(text):
        flags |= WORD
    if lower(text) != text:
        flags |= LOWERCASES
    return flags


OVERLAY, IOTA = "\u0334", "\u0345"  # the lowest and the highest combining class of marks: 1 and 240


def is_combining(text):
    """Whether canonical ordering moves the character: then its combining class is not 0."""
    return decompose(text + OVERLAY) == OVERLAY + text or decompose(IOTA + text) == text + IOTA


def combining_ranks(marks):
    """Combining classes as ranks 1, 2, …: all that ordering needs. Found by sorting with the library itself."""

    # Marks of one class keep their order in both directions.
    def order(a, b):
        if decompose(a + b) == b + a:
            return 1
        if decompose(b + a) == a + b:
            return -1
        return 0

    ordered = sorted(marks, key=functools.cmp_to_key(order))
    ranks, rank = {}, 0
    for previous, mark in zip([None, *ordered], ordered):
        if previous is None or order(previous, mark) != 0:
            rank += 1
        ranks[mark] = rank
    return ranks


def base36(number):
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number or not text:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text


def lists(rows):
    return ";".join(",".join(map(base36, row)) for row in rows)


def runs(values):
    """(start, length) of each run of equal values."""
    start = 0
    for c in range(1, len(values) + 1):
        if c == len(values) or values[c] != values[start]:
            yield start, c - start
            start = c


def main():
    flags = {c: flags_of(c) for c in CODE_POINTS}
    single = [chr(c) for c in CODE_POINTS if not flags[c] & DECOMPOSES]
    ranks = combining_ranks([text for text in single if is_combining(text)])

    # A long random run must come out in the order that the ranks say, or the ranks are wrong.
    chosen = random.Random(1).choices(sorted(ranks), k=4000)
    assert decompose("".join(chosen)) == "".join(sorted(chosen, key=ranks.get))

    class_of, classes = [], {}
    for c in range(0x110000):
        key = (flags.get(c, 0), ranks.get(chr(c), 0) if c in flags else 0)
        class_of.append(classes.setdefault(key, len(classes)))
    assert len(classes) <= 256

    decompositions = []
    previous = 0
    for c in CODE_POINTS:
        if flags[c] & DECOMPOSES:
            parts = [ord(part) for part in decompose(chr(c))]
            assert all(not flags[part] & DECOMPOSES for part in parts), hex(c)
            if c in HANGUL:
                index = c - 0xAC00
                expected = [0x1100 + index // 588, 0x1161 + index % 588 // 28, 0x11A7 + index % 28]
                assert parts == (expected if index % 28 else expected[:2]), hex(c)
                continue
            decompositions.append([c - previous, *parts])
            previous = c

    lowercases = []
    previous = 0
    for c in CODE_POINTS:
        if flags[c] & LOWERCASES:
            lowercases.append([c - previous, *(ord(part) for part in lower(chr(c)))])
            previous = c

    for c in CODE_POINTS:
        # Buffers of ids are as long as the text in bytes: no code point may give more characters than it has bytes.
        kept = [part for part in lower(decompose(chr(c))) if not flags[ord(part)] & NONSPACING]
        assert max(len(kept), len(lower(chr(c)))) <= len(chr(c).encode()), hex(c)

    class_runs = [[length, class_of[start]] for start, length in runs(class_of)]
    tables = {
        "CLASS_TABLE": ("[flags, combining rank] of each class.", lists(classes)),
        "RUN_TABLE": ("[length, class] of runs of code points, from U+0000 to U+10FFFF.", lists(class_runs)),
        "DECOMPOSITION_TABLE": (
            "[distance from the previous code point, parts…]: full canonical decompositions but Hangul's.",
            lists(decompositions),
        ),
        "LOWERCASE_TABLE": ("[distance from the previous code point, parts…].", lists(lowercases)),
    }
    lines = [
        f"// Generated by generate-unicode-tables.py from tokenizers {tokenizers.__version__}. Do not edit.",
        "// Rows are separated by semicolons, numbers by commas; numbers are in base 36.",
    ]
    for name, (comment, text) in tables.items():
        lines += ["", f"/** {comment} */", f"export const {name} =", f"  '{text}';"]
    target = pathlib.Path(__file__).with_name("unicode-tables.ts")
    target.write_text("\n".join(lines) + "\n")
    print(target, target.stat().st_size, "bytes,", len(classes), "classes,", len(class_runs), "runs")


if __name__ == "__main__":
    main()
