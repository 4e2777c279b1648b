"""The other side of tokenizer.ts: Hugging Face's tokenizers on one thread.

    python3 test/bench/tokenizer.py FOLDER ROUNDS

reads text.bin, ends.bin (uint32) and tokenizer.json from the folder, writes ids.bin (int32) into it and prints the
processor seconds of the first and of the fastest round.
"""

import array
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from tokenizers import Tokenizer  # noqa: E402  reads the variable above

folder, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
data = (folder / "text.bin").read_bytes()
ends = array.array("I", (folder / "ends.bin").read_bytes())
texts = [data[start:end].decode("utf-8", errors="replace") for start, end in zip([0, *ends], ends)]
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

seconds = []
for _ in range(rounds):
    begun = time.process_time()
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    seconds.append(time.process_time() - begun)

ids = array.array("i")
for encoding in encodings:
    ids.extend(encoding.ids)
(folder / "ids.bin").write_bytes(ids.tobytes())
print(seconds[0], min(seconds))
