"""Contender of bench/train.ts: the original's step. transformers' BertForMaskedLM with labels sends every position
through the vocabulary projection; TACO gathers [B, L, K, H]. bf16 is autocast."""

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from protocol import (
    BATCH_SIZE,
    BETAS,
    DROPOUT,
    EPSILON,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    MAX_SEQ_LEN,
    NUM_TOKENS,
    TASK,
    TEMPERATURE,
    WEIGHT_DECAY,
    masked_batch,
    pairs,
    serve,
)

torch.set_num_threads(TASK["numThreads"])
torch.manual_seed(1)
model = transformers.BertForMaskedLM(
    transformers.BertConfig(
        vocab_size=TASK["vocabSize"],
        hidden_size=TASK["hiddenSize"],
        num_hidden_layers=TASK["numLayers"],
        num_attention_heads=TASK["numHeads"],
        intermediate_size=TASK["intermediateSize"],
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=DROPOUT,
    )
)
model.train()
named = list(model.named_parameters())
exempt = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
exempt_ids = {id(p) for p in exempt}
optimizer = torch.optim.AdamW(
    [
        {"params": [p for _, p in named if id(p) not in exempt_ids], "weight_decay": WEIGHT_DECAY},
        {"params": exempt, "weight_decay": 0.0},
    ],
    lr=LEARNING_RATE,
    betas=BETAS,
    eps=EPSILON,
)
is_taco = TASK["mode"] == "taco"


def batch():
    ids, positions, masked_labels = masked_batch()
    labels = np.full(NUM_TOKENS, -100)
    labels[positions] = masked_labels
    shape = (BATCH_SIZE, MAX_SEQ_LEN)
    return (ids.reshape(shape), labels.reshape(shape), *(pairs() if is_taco else ()))


def contrastive_loss(hidden_states, positives, negatives):
    semantics = hidden_states[-1] - hidden_states[0]
    flat = semantics.detach().reshape(NUM_TOKENS, -1)
    positive = flat[positives.reshape(BATCH_SIZE, MAX_SEQ_LEN)]
    negative = flat[negatives.reshape(BATCH_SIZE, MAX_SEQ_LEN, -1)]
    positive_similarity = F.cosine_similarity(semantics, positive, dim=-1).unsqueeze(-1)
    negative_similarity = F.cosine_similarity(semantics.unsqueeze(2), negative, dim=-1)
    logits = torch.cat([positive_similarity, negative_similarity], dim=-1) / TEMPERATURE
    first = torch.zeros(NUM_TOKENS, dtype=torch.long)
    return F.cross_entropy(logits.view(NUM_TOKENS, -1), first)


def step(*arrays):
    ids, labels, *pair_indices = (torch.from_numpy(array) for array in arrays)
    with torch.autocast("cpu", torch.bfloat16, enabled=TASK["precision"] == "bf16"):
        outputs = model(input_ids=ids, labels=labels, output_hidden_states=is_taco)
        loss = outputs.loss
        if is_taco:
            loss = loss + contrastive_loss(outputs.hidden_states, *pair_indices)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


serve(f"PyTorch {torch.__version__}, transformers {transformers.__version__}", batch, step)
