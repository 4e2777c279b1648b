"""What the Python contenders of bench/train.ts share: the task, made-up batches, answers on standard output."""

import json
import os
import resource
import sys
import time

import numpy as np

# Answers have standard output to themselves; whatever libraries print goes to standard error.
_answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

TASK = json.loads(sys.argv[1])
BATCH_SIZE, MAX_SEQ_LEN = TASK["batchSize"], TASK["maxSeqLen"]
NUM_TOKENS = BATCH_SIZE * MAX_SEQ_LEN
VOCAB_SIZE = TASK["vocabSize"]
# As many in every step for contenders whose graphs are compiled for one number; the mean of the others.
NUM_MASKED = round(0.15 * NUM_TOKENS)
NUM_NEGATIVES, WINDOW, TEMPERATURE = 50, 5, 0.07
LEARNING_RATE, BETAS, EPSILON, WEIGHT_DECAY, MAX_GRAD_NORM = 1e-4, (0.9, 0.999), 1e-8, 0.01, 1.0
DROPOUT, LAYER_NORM_EPSILON, INIT_STD = 0.1, 1e-12, 0.02
MASK_ID, FIRST_WORD = 103, 1000

_random = np.random.default_rng(1)


def masked_batch():
    """Ids with masks [N], masked positions [M] and the original ids there [M]."""
    ids = _random.integers(FIRST_WORD, VOCAB_SIZE, NUM_TOKENS)
    positions = np.sort(_random.choice(NUM_TOKENS, NUM_MASKED, replace=False))
    labels = ids[positions]
    fate = _random.random(NUM_MASKED)
    replaced = np.where(fate < 0.9, _random.integers(0, VOCAB_SIZE, NUM_MASKED), labels)
    ids[positions] = np.where(fate < 0.8, MASK_ID, replaced)
    return ids, positions, labels


def pairs():
    """Positive [N] in the window and negatives [N, K] in other rows of each token."""
    token = np.arange(NUM_TOKENS)
    column = token % MAX_SEQ_LEN
    offset = _random.integers(1, WINDOW, NUM_TOKENS) * _random.choice([-1, 1], NUM_TOKENS)
    offset = np.where((column + offset < 0) | (column + offset >= MAX_SEQ_LEN), -offset, offset)
    row = (token // MAX_SEQ_LEN)[:, None]
    other_row = _random.integers(0, BATCH_SIZE - 1, (NUM_TOKENS, NUM_NEGATIVES))
    other_row += other_row >= row
    return token + offset, other_row * MAX_SEQ_LEN + _random.integers(0, MAX_SEQ_LEN, other_row.shape)


def _peak_bytes():
    try:
        with open("/proc/self/status") as status:
            return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def _say(answer):
    _answers.write(json.dumps(answer) + "\n")


def serve(version, batch, step):
    """Answers `step` with the time of `step(*batch())`, which returns the loss as a number, and `quit`."""
    _say({"version": version})
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        arrays = batch()
        begun, cpu_begun = time.perf_counter(), time.process_time()
        loss = step(*arrays)
        ms, cpu_ms = 1000 * (time.perf_counter() - begun), 1000 * (time.process_time() - cpu_begun)
        _say({"ms": ms, "cpuMs": cpu_ms, "loss": loss})
    _say({"peakBytes": _peak_bytes()})
