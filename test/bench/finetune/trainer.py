"""Fine-tunes BERT with transformers' Trainer as run_glue.py does, an update for each line on standard input.

Usage: python trainer.py FOLDER OPTIONS  (FOLDER holds config.json, model.safetensors and rows.json; see ../finetune.ts)
Answers each line with one of JSON: wall-clock and processor milliseconds of the update. Rows are padded and moved before
the clock starts.
"""

import json
import os
import sys
import time

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import torch
from torch.utils.data import Dataset
import transformers
from transformers import BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

folder, options = sys.argv[1], json.loads(sys.argv[2])
transformers.logging.set_verbosity_error()
torch.set_num_threads(options["numThreads"])
rows = json.load(open(f"{folder}/rows.json"))
length = options["maxSeqLen"]


class Rows(Dataset):
    """Padded to the greatest length, as run_glue.py does unless told otherwise."""

    def __len__(self):
        return len(rows)

    def __getitem__(self, index):
        row = rows[index]
        padding = [0] * (length - len(row["ids"]))
        return {
            "input_ids": torch.tensor(row["ids"] + padding),
            "attention_mask": torch.tensor([1] * len(row["ids"]) + padding),
            "token_type_ids": torch.tensor(row["types"] + padding),
            "labels": torch.tensor(row["label"]),
        }


class Turns(TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if sys.stdin.readline() == "":
            control.should_training_stop = True
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def on_step_end(self, *args, **kwargs):
        wall, processor = time.perf_counter() - self.wall, time.process_time() - self.processor
        print(json.dumps({"wallMs": 1000 * wall, "processorMs": 1000 * processor}), flush=True)


trainer = Trainer(
    model=BertForSequenceClassification.from_pretrained(folder, num_labels=2),
    args=TrainingArguments(
        output_dir=f"{folder}/out",
        per_device_train_batch_size=options["batchSize"],
        max_steps=options["numSteps"],
        learning_rate=5e-5,
        warmup_steps=100,
        seed=123,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    ),
    train_dataset=Rows(),
    callbacks=[Turns()],
)
trainer.train()
