"""Contender of bench/train.ts: PyTorch as fast as we know how to make it. One product for queries, keys and values,
masked positions gathered before the head, torch.compile, fused AdamW; bf16 is autocast. Attention is written out: with
dropout, scaled_dot_product_attention has no fused kernel on CPU and takes 2 % more of the step when compiled."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from protocol import (
    BATCH_SIZE,
    BETAS,
    DROPOUT,
    EPSILON,
    INIT_STD,
    LAYER_NORM_EPSILON,
    LEARNING_RATE,
    MAX_GRAD_NORM,
    MAX_SEQ_LEN,
    TASK,
    VOCAB_SIZE,
    WEIGHT_DECAY,
    masked_batch,
    serve,
)

HIDDEN, NUM_HEADS, INNER = TASK["hiddenSize"], TASK["numHeads"], TASK["intermediateSize"]
torch.set_num_threads(TASK["numThreads"])
torch.manual_seed(1)


def layer_norm():
    return nn.LayerNorm(HIDDEN, eps=LAYER_NORM_EPSILON)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.attention_output = nn.Linear(HIDDEN, HIDDEN)
        self.attention_norm = layer_norm()
        self.intermediate = nn.Linear(HIDDEN, INNER)
        self.output = nn.Linear(INNER, HIDDEN)
        self.norm = layer_norm()

    def forward(self, x):
        qkv = self.qkv(x).view(BATCH_SIZE, MAX_SEQ_LEN, 3, NUM_HEADS, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        probabilities = torch.softmax(query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2), -1)
        context = F.dropout(probabilities, DROPOUT) @ value
        context = context.transpose(1, 2).reshape(BATCH_SIZE * MAX_SEQ_LEN, HIDDEN)
        x = self.attention_norm(x + F.dropout(self.attention_output(context), DROPOUT))
        return self.norm(x + F.dropout(self.output(F.gelu(self.intermediate(x))), DROPOUT))


class MaskedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(VOCAB_SIZE, HIDDEN)
        self.positions = nn.Embedding(512, HIDDEN)
        self.types = nn.Embedding(2, HIDDEN)
        self.norm = layer_norm()
        self.layers = nn.ModuleList(Layer() for _ in range(TASK["numLayers"]))
        self.transform = nn.Linear(HIDDEN, HIDDEN)
        self.head_norm = layer_norm()
        self.head_bias = nn.Parameter(torch.zeros(VOCAB_SIZE))

    def forward(self, ids, masked, labels):
        embedded = self.words(ids.view(BATCH_SIZE, MAX_SEQ_LEN))
        embedded = embedded + self.positions.weight[:MAX_SEQ_LEN] + self.types.weight[0]
        x = F.dropout(self.norm(embedded), DROPOUT).view(-1, HIDDEN)
        for layer in self.layers:
            x = layer(x)
        head = self.head_norm(F.gelu(self.transform(x[masked])))
        return F.cross_entropy(F.linear(head, self.words.weight, self.head_bias).float(), labels)


model = MaskedLanguageModel()
for name, parameter in model.named_parameters():
    if parameter.dim() == 2:
        nn.init.normal_(parameter, std=INIT_STD)
    elif name.endswith("bias"):
        nn.init.zeros_(parameter)
groups = [
    {"params": [p for p in model.parameters() if p.dim() == 2], "weight_decay": WEIGHT_DECAY},
    {"params": [p for p in model.parameters() if p.dim() != 2], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON, fused=True)
compiled = torch.compile(model, dynamic=False)


def step(*arrays):
    ids, masked, labels = (torch.from_numpy(array) for array in arrays)
    with torch.autocast("cpu", torch.bfloat16, enabled=TASK["precision"] == "bf16"):
        loss = compiled(ids, masked, labels)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


serve(f"PyTorch {torch.__version__}, compiled", masked_batch, step)
