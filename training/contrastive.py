"""Stage 0: the image-text head, trained contrastively on cached features of locked towers.

Each step matches photos with one of their captions, softened by how alike the photos' captions are (so that two photos
of running dogs are not pushed apart), with views, patches and features dropped against overfitting. Photos without
captions join with the name of their ImageNet class where the tower's own classifier is sure of it: that widens the
vocabulary beyond the captions' (laptops, drums, cats) at no labelling cost.
Source: Radford et al. 2021 (InfoNCE); Gao et al. 2024, SoftCLIP (softened targets).
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llama_vid.tokenizer.head import ImageHead, TextHead
from training.progress import Report, print_line

PATCH_DROP = 0.4
SURE = 0.4  # probability of the ImageNet class from which a photo gets its name as a caption


def recall_at(images: Tensor, texts: Tensor, ks: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """Text-to-image recall: `images` (N, E), `texts` (N, captions, E), all unit length."""
    count, captions = texts.shape[:2]
    scores = texts.flatten(0, 1) @ images.T
    truth = torch.arange(count).repeat_interleave(captions)
    rank = (scores > scores[torch.arange(len(truth)), truth][:, None]).sum(1)
    return {f"r@{k}": round(float((rank < k).float().mean()), 4) for k in ks}


class Loader:
    """Batches of features and text states, from memory-mapped arrays read into memory once."""

    def __init__(self, cache: Path, captions: Tensor, views: int) -> None:
        train = np.load(cache / "flickr8k-train.npy", mmap_mode="r")
        self.train = torch.from_numpy(np.stack([np.asarray(train[v]) for v in range(views)]))
        self.captions = captions  # (N, 5, 384)
        extra = np.load(cache / "coco-unlabelled.npy", mmap_mode="r")[0]
        chance = torch.from_numpy(np.load(cache / "coco-unlabelled-imagenet.npy"))
        best, label = chance.max(-1)
        sure = torch.nonzero(best > SURE).flatten()
        self.extra = torch.from_numpy(np.ascontiguousarray(extra[sure.numpy()]))
        self.extra_label = label[sure]
        self.names = torch.from_numpy(np.load(cache / "imagenet-text.npy"))  # (templates, 1000, 384)

    def batch(self, index: Tensor, extra: int) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, P, C), text states (B, 384) and the photos' mean text states (B, 384) for the soft targets."""
        size = len(index)
        pick = torch.randint(max(1, len(self.extra)), (extra if len(self.extra) else 0,))
        x = torch.cat([self.train[torch.randint(len(self.train), (size,)), index], self.extra[pick]])
        first = self.captions[index, torch.randint(5, (size,))]
        other = self.captions[index, torch.randint(5, (size,))]
        share = (torch.rand(size, 1) < 0.7) * torch.rand(size, 1) * 0.5
        name = self.names[torch.randint(len(self.names), (len(pick),)), self.extra_label[pick]]
        return (
            x,
            torch.cat([first * (1 - share) + other * share, name]),
            torch.cat([self.captions[index].mean(1), name]),
        )


def train_member(
    cache: Path,
    captions: Tensor,
    dev: Tensor,
    out: Path,
    *,
    seed: int,
    epochs: int,
    batch: int,
    rate: float,
    decay: float,
    soft: float,
    drop: float,
    views: int = 4,
    extra: int = 100,
    width: int = 512,
    report: Report = print_line,
) -> None:
    """One seeded member, saved to `out` with its scores on `dev` (features (N, P, C), text states (N, 5, 384))."""
    options = {"seed": seed, "epochs": epochs, "batch": batch, "rate": rate, "decay": decay, "soft": soft, "drop": drop}
    torch.manual_seed(seed)
    loader = Loader(cache, captions, views)
    dev_x = torch.from_numpy(np.load(cache / "flickr8k-dev.npy")[0])
    patches, channels = dev_x.shape[1:]
    head = ImageHead(patches, channels, width, drop=drop)
    text = TextHead(captions.shape[-1], width, drop=0.1)
    scale = nn.Parameter(torch.tensor(20.0).log())
    optimiser = torch.optim.AdamW(
        [
            {"params": [*head.parameters(), *text.parameters()], "weight_decay": decay},
            {"params": [scale], "weight_decay": 0.0},
        ],
        lr=rate,
    )
    count = len(captions)
    steps = epochs * (count // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
    log: list[dict[str, float]] = []
    began = time.time()
    for epoch in range(epochs):
        head.train()
        text.train()
        order, total = torch.randperm(count), 0.0
        for start in range(0, count - batch + 1, batch):
            x, states, means = loader.batch(order[start : start + batch], extra)
            keep = torch.rand(len(x), patches).argsort(1)[:, : int(patches * (1 - PATCH_DROP))]
            x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1])).float()
            with torch.autocast("cpu", torch.bfloat16):
                image, sentence = head(x, keep).float(), text(states).float()
            logits = scale.exp().clamp(max=100) * image @ sentence.T
            means = F.normalize(means, dim=-1)
            target = (1 - soft) * torch.eye(len(x)) + soft * (means @ means.T / 0.07).softmax(-1)
            loss = -((target * logits.log_softmax(-1)).sum(-1) + (target * logits.T.log_softmax(-1)).sum(-1)).mean() / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        scores: dict[str, float] = {}
        if epoch % 4 == 3 or epoch == epochs - 1:
            head.eval()
            text.eval()
            with torch.inference_mode():
                found = torch.cat([head(dev_x[i : i + 100].float()) for i in range(0, len(dev_x), 100)])
                scores = recall_at(found, text(dev))
        seconds, mean = round(time.time() - began), round(total / (count // batch), 4)
        log.append({"epoch": epoch + 1, "loss": mean, **scores, "seconds": seconds})
        if scores:
            report({"seed": seed, **log[-1]})
    fresh = out.with_suffix(".tmp")
    member = {"image": head.state_dict(), "text": text.state_dict(), "scale": scale.detach().exp(), "log": log}
    torch.save(member | {"options": options}, fresh)
    fresh.rename(out)
