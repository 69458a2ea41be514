"""SimSiam in plain PyTorch, as its paper's algorithm 1 has it, with the networks of qtwin's recipe for digits.

Batch 128 of 28x28x1, convolutions of stride 2 with batch norm, a projector of three layers, a predictor with a
bottleneck of a quarter, SGD with momentum 0.9 and weight decay. The views are random images that are there already.
"""

from __future__ import annotations

import argparse

from common import arguments, begun, report, timed

PACKAGES = ("torch", "numpy")
BATCH, PROJECTION, FIRST = 128, 128, 5


def parser() -> argparse.ArgumentParser:
    parser = arguments(__doc__, 20_000, "siamese/speed_siamese.py")
    parser.add_argument("--encoder", default="conv:16,32,64")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0 leaves torch's own choice")
    parser.add_argument("--channels-last", action="store_true", help="the memory layout that suits convolutions")
    return parser


def main() -> None:
    args = begun(parser(), {"torch": "torch"}, 256)
    import torch
    from torch import nn
    from torch.nn import functional

    if args.threads:
        torch.set_num_threads(args.threads)
    widths = [int(w) for w in args.encoder.partition(":")[2].split(",")]
    layers, size = [], 1
    for width in widths:
        layers += [nn.Conv2d(size, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        size = width
    encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = []
    for i in range(3):
        head += [nn.Linear(size, PROJECTION), nn.BatchNorm1d(PROJECTION, affine=i < 2)]
        head += [nn.ReLU()] if i < 2 else []
        size = PROJECTION
    f = nn.Sequential(encoder, *head)
    hidden = PROJECTION // 4
    h = nn.Sequential(nn.Linear(PROJECTION, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, PROJECTION))
    images = torch.rand(4 * BATCH, 1, 28, 28)
    if args.channels_last:
        f, images = f.to(memory_format=torch.channels_last), images.contiguous(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD([*f.parameters(), *h.parameters()], lr=0.3, momentum=0.9, weight_decay=1e-4)

    def step() -> float:
        rows = torch.randperm(len(images))[: 2 * BATCH]
        x1, x2 = images[rows[:BATCH]], images[rows[BATCH:]]
        z1, z2 = f(x1), f(x2)
        p1, p2 = h(z1), h(z2)
        similar = (
            functional.cosine_similarity(p1, z2.detach()).mean(),
            functional.cosine_similarity(p2, z1.detach()).mean(),
        )
        loss = -(similar[0] + similar[1]) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    for _ in range(FIRST):
        step()
    steps = max(1, args.transitions // BATCH)
    seconds = timed(lambda: [step() for _ in range(steps)])
    report(f"PyTorch SimSiam, {args.encoder}", steps * BATCH, seconds, PACKAGES, unit="images")


if __name__ == "__main__":
    main()
