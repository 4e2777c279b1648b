"""What the original's preprocessing does, with the same libraries: tokenize every text with its special-tokens mask,
concatenate and cut (group_texts), save. Usage: prepare.py <parquet glob> <tokenizer folder> <out> <processes>"""

import sys
import time

import datasets
from transformers import BertTokenizerFast

pattern, tokenizer_folder, out, num_proc = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
MAX_SEQ_LEN = 256

datasets.disable_progress_bars()
begun = time.perf_counter()
tokenizer = BertTokenizerFast(f"{tokenizer_folder}/vocab.txt", model_max_length=10**9)
texts = datasets.load_dataset(
    "parquet", data_files=pattern, split="train", columns=["text"], cache_dir=f"{out}/cache"
)


def tokenize(batch):
    return tokenizer(batch["text"], return_special_tokens_mask=True)


def group_texts(batch):
    joined = {name: [value for row in rows for value in row] for name, rows in batch.items()}
    length = len(joined["input_ids"]) // MAX_SEQ_LEN * MAX_SEQ_LEN
    return {
        name: [values[start : start + MAX_SEQ_LEN] for start in range(0, length, MAX_SEQ_LEN)]
        for name, values in joined.items()
    }


tokenized = texts.map(tokenize, batched=True, num_proc=num_proc, remove_columns=["text"])
grouped = tokenized.map(group_texts, batched=True, num_proc=num_proc)
grouped.save_to_disk(f"{out}/dataset")
print(f"{time.perf_counter() - begun:.3f} {len(grouped) * MAX_SEQ_LEN}")
