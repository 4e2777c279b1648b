"""Digests of GLUE's own examples as pyarrow reads them and BertTokenizerFast encodes them.

python real-data.py <folder of nyu-mll/glue> <folder with vocab.txt> <length> <limit>   → JSON on standard output
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from transformers import BertTokenizerFast

root, vocabulary, length, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
tokenizer = BertTokenizerFast.from_pretrained(vocabulary, do_lower_case=True)
digests = {}
for path in sorted(root.glob("*/*.parquet")):
    table = pq.read_table(path).slice(0, limit)
    texts = [table[name].to_pylist() for name in table.column_names if name not in ("label", "idx")]
    coded = tokenizer(*texts, truncation=True, padding="max_length", max_length=length)
    digest = hashlib.sha256()
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        digest.update(np.array(coded[name], "<i4").tobytes())
    digest.update(np.array(table["label"].to_pylist(), "<f4").tobytes())
    digest.update(np.array(table["idx"].to_pylist(), "<i4").tobytes())
    name = path.relative_to(root).as_posix().split("-")[0]
    digests[name] = {"sha256": digest.hexdigest(), "rows": pq.read_metadata(path).num_rows}
print(json.dumps(digests))
