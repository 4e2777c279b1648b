"""Fine-tunes BERT in PyTorch with transformers over several seeds, for ../finetune-seeds.ts; see there.

Usage: python seeds.py FOLDER OPTIONS  (FOLDER holds config.json, model.safetensors, train.json and validation.json)
Prints a line of JSON for each seed: outputs for the validation examples after each epoch, in their order.
"""

import json
import math
import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import torch
import transformers
from transformers import BertForSequenceClassification, get_linear_schedule_with_warmup

transformers.logging.set_verbosity_error()
folder, options = sys.argv[1], json.loads(sys.argv[2])
torch.set_num_threads(options["numThreads"])
splits = {name: json.load(open(f"{folder}/{name}.json")) for name in ("train", "validation")}
num_outputs = options["numOutputs"]


def batch_of(rows):
    """Padded to the longest: padding changes nothing but the time."""
    longest = max(len(row["ids"]) for row in rows)
    pad = lambda values: values + [0] * (longest - len(values))
    return {
        "input_ids": torch.tensor([pad(row["ids"]) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row["ids"])) for row in rows]),
        "token_type_ids": torch.tensor([pad(row["types"]) for row in rows]),
    }


def predict(model):
    model.eval()
    rows = splits["validation"]
    with torch.no_grad():
        outputs = [model(**batch_of(rows[i : i + 64])).logits for i in range(0, len(rows), 64)]
    return torch.cat(outputs).flatten().tolist()


for seed in options["seeds"]:
    torch.manual_seed(seed)
    model = BertForSequenceClassification.from_pretrained(folder, num_labels=num_outputs)
    rows, size = splits["train"], options["batchSize"]
    num_steps = options["epochs"] * math.ceil(len(rows) / size)
    exempt = lambda name: name.endswith("bias") or "LayerNorm" in name
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if not exempt(n)], "weight_decay": options["weightDecay"]},
            {"params": [p for n, p in named if exempt(n)], "weight_decay": 0.0},
        ],
        lr=options["lr"],
    )
    schedule = get_linear_schedule_with_warmup(optimizer, options["warmupSteps"], num_steps)
    epochs = []
    for _ in range(options["epochs"]):
        model.train()
        order = torch.randperm(len(rows)).tolist()
        for start in range(0, len(rows), size):
            chosen = [rows[index] for index in order[start : start + size]]
            labels = torch.tensor([row["label"] for row in chosen])
            optimizer.zero_grad()
            model(**batch_of(chosen), labels=labels.long() if num_outputs > 1 else labels.float()).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        epochs.append(predict(model))
    print(json.dumps({"seed": seed, "epochs": epochs}), flush=True)
