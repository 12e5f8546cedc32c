"""Train the module that a spec compiles to: on a laptop, on the GPUs of a machine, on several machines.

    python examples/train.py --spec zoo:lenet5
    torchrun --nproc-per-node 8 examples/train.py --spec zoo:resnet50 --data imagenet --amp --channels-last
    torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:29500 examples/train.py ...

Without --data it learns scikit-learn's handwritten digits; else the images of DIR/train/CLASS/ and DIR/val/CLASS/ (this
needs torchvision). --parallel says how several processes share the work: `ddp` the images, `shard` the images and the weights,
`pipeline` the layers. With --checkpoints it goes on where the last complete checkpoint in that folder ends, which
all machines must see.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

import cnnc

OPTIONS = StateDictOptions(flatten_optimizer_state_dict=True)


@dataclass(frozen=True)
class Place:
    """This process among the others, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether it is the one that speaks."""
        return self.rank == 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spec", default="zoo:lenet5", help="a file, or zoo:NAME")
    parser.add_argument("--data", type=Path, help="a folder with train/ and val/; without it, the digits")
    parser.add_argument("--size", type=int, help="height and width of the images (that of the spec)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32, help="images a step, of all processes together")
    parser.add_argument("--micro-batches", type=int, default=4, help="parts of a batch in a pipeline")
    parser.add_argument("--lr", type=float, default=0.05, help="the highest learning rate")
    parser.add_argument("--warmup", type=int, default=20, help="steps in which it rises")
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--parallel", choices=["ddp", "shard", "pipeline"], default="ddp")
    parser.add_argument("--amp", action="store_true", help="autocast in bfloat16")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--sync-bn", action="store_true", help="norms over the images of all GPUs")
    parser.add_argument("--compile", action="store_true", help="by way of torch.compile")
    parser.add_argument("--checkpoints", type=Path, help="where checkpoints are, and are looked for")
    parser.add_argument("--every", type=int, default=100, help="steps from one checkpoint to the next")
    parser.add_argument(
        "--log-every", type=int, default=20, help="steps from one line of progress to the next"
    )
    parser.add_argument("--workers", type=int, default=4, help="processes that read images")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def join() -> Place:
    """This process's place; it joins the group that torchrun has started it for."""
    cuda = torch.cuda.is_available()
    if "RANK" not in os.environ:
        return Place(0, 1, torch.device("cuda" if cuda else "cpu"))
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if cuda else "gloo")
    return Place(dist.get_rank(), dist.get_world_size(), device)


# --- images -----------------------------------------------------------------------------


def datasets(args: argparse.Namespace, shape: tuple[int, ...]) -> tuple[Dataset[Any], Dataset[Any], int]:
    """What is learnt, what it is tested on, and how many classes there are."""
    if args.data is None:
        return *digits(shape), 10
    from torchvision import datasets as folders
    from torchvision import transforms as t

    size = shape[1:]
    scale = t.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    train = t.Compose([t.RandomResizedCrop(size), t.RandomHorizontalFlip(), t.ToTensor(), scale])
    resized = t.Resize(int(max(size) * 256 / 224))
    test = t.Compose([resized, t.CenterCrop(size), t.ToTensor(), scale])
    learnt = folders.ImageFolder(args.data / "train", train)
    return learnt, folders.ImageFolder(args.data / "val", test), len(learnt.classes)


def digits(shape: tuple[int, ...]) -> tuple[Dataset[Any], Dataset[Any]]:
    """Scikit-learn's digits in a shape; each third one is for testing."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    images = nn.functional.interpolate(images, size=shape[1:], mode="bilinear").expand(-1, shape[0], -1, -1)
    classes = torch.tensor(found.target)
    held = torch.arange(len(classes)) % 3 == 0
    return TensorDataset(images[~held], classes[~held]), TensorDataset(images[held], classes[held])


class Shares(Sampler[int]):
    """An epoch's images in an order of its own, from step `start` on: of each batch this process's share."""

    def __init__(self, count: int, batch: int, share: int, shares: int, seed: int) -> None:
        self.count, self.batch, self.share, self.shares = count, batch, share, shares
        self.seed, self.epoch, self.start = seed, 0, 0

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.count, generator=generator).tolist()
        for step in range(self.start, len(self)):
            yield from order[step * self.batch : (step + 1) * self.batch][self.share :: self.shares]

    def __len__(self) -> int:
        """Steps of an epoch; a rest of less than a batch is left out."""
        return self.count // self.batch


# --- the model --------------------------------------------------------------------------


class Trainer:
    """A model, its optimiser, and one step of training by whatever way the processes share the work."""

    def __init__(self, args: argparse.Namespace, place: Place, net: cnnc.Net) -> None:
        self.args, self.place = args, place
        self.piped = args.parallel == "pipeline" and place.world > 1
        torch.manual_seed(args.seed)
        stages = place.world if self.piped else 1 if args.parallel == "shard" else None
        model = net.module(stages=stages).to(place.device)
        if (
            args.channels_last and args.parallel != "shard"
        ):  # shares of weights are contiguous, images need not be
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if args.sync_bn and place.world > 1:
            if place.device.type != "cuda":
                raise SystemExit("--sync-bn needs GPUs")
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.functions = sys.modules[type(model).__module__]
        self.owned: nn.Module = model
        """What this process has of the model, and saves: under the names of the plain form, however it is shared."""
        self.run: Any = model
        self.schedule: Any = None
        if self.piped:
            self._pipe(model, net)
        elif args.parallel == "shard":
            if place.world > 1:
                self.run = self.functions.shard(model, init_device_mesh(place.device.type, (place.world,)))
            self.owned = model.stage1
        elif place.world > 1:
            self.run = DistributedDataParallel(model)
        if args.compile:
            self.run = torch.compile(self.run)
        self.optimiser = torch.optim.SGD(
            self.owned.parameters(), lr=args.lr, momentum=0.9, weight_decay=args.weight_decay, nesterov=True
        )

    def _pipe(self, model: Any, net: cnnc.Net) -> None:
        """The stage of this process; it keeps no other."""
        from torch.distributed.pipelining import Schedule1F1B

        (shape,) = net.inputs.values()
        example = torch.empty(self.args.batch // self.args.micro_batches, *shape, device="meta")
        with self.precision():
            stage = self.functions.pipeline(model, self.place.rank, example=example)
        self.owned = model.get_submodule(model.STAGES[self.place.rank][0])
        self.schedule = Schedule1F1B(stage, self.args.micro_batches, loss_fn=cross_entropy)

    @property
    def is_last(self) -> bool:
        """Whether it has the end of a pipeline, and so the outputs."""
        return self.place.rank == self.place.world - 1

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast, if it is asked for."""
        return torch.autocast(self.place.device.type, torch.bfloat16) if self.args.amp else nullcontext()

    def rate(self, step: int, steps: int) -> float:
        """The learning rate: up in a line, down in half a cosine."""
        warmup = min(self.args.warmup, steps)
        if step < warmup:
            return float(self.args.lr * (step + 1) / warmup)
        return float(self.args.lr * (1 + cos(pi * (step - warmup) / max(1, steps - warmup))) / 2)

    def moved(self, images: Tensor) -> Tensor:
        """Images on the device, in the layout of the weights."""
        layout = torch.channels_last if self.args.channels_last else torch.preserve_format
        return images.to(self.place.device, non_blocking=True, memory_format=layout)

    def step(self, images: Tensor, classes: Tensor, rate: float) -> Tensor:
        """Learn from a batch, or this process's share of it; the loss of what this process has seen."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.owned.train()
        self.optimiser.zero_grad()
        classes = classes.to(self.place.device, non_blocking=True)
        if self.piped:
            loss = self._piped_step(images, classes)
        else:
            with self.precision():
                loss = cross_entropy(self.run(self.moved(images)), classes)
            loss.backward()
        self.optimiser.step()
        return loss.detach()

    def _piped_step(self, images: Tensor, classes: Tensor) -> Tensor:
        losses: list[Tensor] = []
        with self.precision():
            if self.place.is_first:
                self.schedule.step(self.moved(images))
            elif self.is_last:
                self.schedule.step(target=classes, losses=losses)
            else:
                self.schedule.step()
        loss = torch.stack(losses).mean() if losses else torch.zeros((), device=self.place.device)
        dist.broadcast(loss, self.place.world - 1)
        return loss

    @torch.no_grad()
    def right(self, images: Tensor, classes: Tensor) -> Tensor:
        """Which images are classified correctly; in a pipeline only the last stage knows, and its counts are the result."""
        self.owned.eval()
        classes = classes.to(self.place.device)
        with self.precision():
            if not self.piped:
                return self.run(self.moved(images)).argmax(1) == classes
            given, wanted = whole(images, self.args.batch), whole(classes, self.args.batch)
            if self.place.is_first:
                self.schedule.eval(self.moved(given))
            elif not self.is_last:
                self.schedule.eval()
            else:  # a schedule that knows a loss asks for the classes here too
                return self.schedule.eval(target=wanted)[: len(classes)].argmax(1) == classes
        return torch.zeros(len(classes))


def whole(part: Tensor, batch: int) -> Tensor:
    """A part of a batch, made a whole one by its first item."""
    return torch.cat([part, part[:1].expand(batch - len(part), *part.shape[1:])])


# --- checkpoints ------------------------------------------------------------------------


def complete(folder: Path) -> list[Path]:
    """The checkpoints that were written to their end, the last first."""
    found = [path for path in folder.glob("step-*") if (path / ".metadata").exists()]
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]), reverse=True)


def save(trainer: Trainer, folder: Path, step: int) -> None:
    """Write a checkpoint, every process its part; the last two are kept."""
    model, optimiser = get_state_dict(trainer.owned, trainer.optimiser, options=OPTIONS)
    state = {"model": model, "optimiser": optimiser, "step": torch.tensor(step)}
    dcp.save(state, checkpoint_id=folder / f"step-{step}", no_dist=trainer.place.world == 1)
    if trainer.place.is_first:
        for old in complete(folder)[2:]:
            shutil.rmtree(old)


def resume(trainer: Trainer, folder: Path) -> int:
    """Load the last complete checkpoint; the steps that were done by then."""
    found = complete(folder)
    if not found:
        return 0
    model, optimiser = get_state_dict(trainer.owned, trainer.optimiser, options=OPTIONS)
    state = {"model": model, "optimiser": optimiser, "step": torch.tensor(0)}
    dcp.load(state, checkpoint_id=found[0], no_dist=trainer.place.world == 1)
    set_state_dict(
        trainer.owned,
        trainer.optimiser,
        model_state_dict=state["model"],  # type: ignore[arg-type]
        optim_state_dict=state["optimiser"],  # type: ignore[arg-type]
        options=OPTIONS,
    )
    step = int(state["step"])  # type: ignore[call-overload]
    told(trainer.place, f"goes on after step {step}, from {found[0]}")
    return step


# --- training ---------------------------------------------------------------------------


def told(place: Place, text: str) -> None:
    """Print a line, once for all processes."""
    if place.is_first:
        print(text, flush=True)


def total(place: Place, value: float) -> float:
    """A number summed over the processes."""
    summed = torch.tensor(value, dtype=torch.float64 if place.device.type == "cpu" else torch.float32)
    summed = summed.to(place.device)
    if place.world > 1:
        dist.all_reduce(summed)
    return float(summed)


def train(trainer: Trainer, learnt: Dataset[Any], tested: Dataset[Any]) -> float:
    """All epochs; the accuracy at the end."""
    args, place = trainer.args, trainer.place
    share, shares = (0, 1) if trainer.piped else (place.rank, place.world)
    sampler = Shares(len(learnt), args.batch, share, shares, args.seed)  # type: ignore[arg-type]
    loader = DataLoader(
        learnt, args.batch // shares, sampler=sampler, pin_memory=place.device.type == "cuda", drop_last=True,
        num_workers=args.workers if args.data else 0,
    )  # fmt: skip
    step = resume(trainer, args.checkpoints) if args.checkpoints else 0
    steps, accuracy = args.epochs * len(sampler), 0.0
    for epoch in range(step // len(sampler), args.epochs):
        sampler.epoch, sampler.start = epoch, step - epoch * len(sampler)
        since, seen = time.perf_counter(), 0
        for images, classes in loader:
            loss = trainer.step(images, classes, trainer.rate(step, steps))
            step, seen = step + 1, seen + args.batch
            if step % args.log_every == 0:
                mean = total(place, float(loss)) / place.world
                speed = seen / (time.perf_counter() - since)
                left = (steps - step) * args.batch / speed
                told(
                    place,
                    f"epoch {epoch + 1:3}  step {step:6} of {steps}  loss {mean:.4f}  {speed:,.0f} images/s  {left:,.0f} s left",
                )
            if args.checkpoints and (step % args.every == 0 or step == steps):
                save(trainer, args.checkpoints, step)
        accuracy = test(trainer, tested)
        told(place, f"epoch {epoch + 1:3}  accuracy {accuracy:.4f}")
    return accuracy or test(trainer, tested)


def test(trainer: Trainer, tested: Dataset[Any]) -> float:
    """The share of the images for testing that is told right, each image once."""
    args, place = trainer.args, trainer.place
    count = len(tested)  # type: ignore[arg-type]
    share, shares = (0, 1) if trainer.piped else (place.rank, place.world)
    each, own = -(-count // shares), len(range(share, count, shares))
    # As many for each process, since all of them meet at every batch; the last may be one that is not counted.
    part = torch.utils.data.Subset(tested, [(share + i * shares) % count for i in range(each)])
    loader = DataLoader(part, args.batch // shares, num_workers=args.workers if args.data else 0)
    right = seen = 0
    for images, classes in loader:
        right += trainer.right(images, classes)[: own - seen].sum().item()
        seen += len(images)
    return total(place, right) / count


def main() -> None:
    """Train, and say how well."""
    args = arguments()
    place = join()
    warnings.filterwarnings("ignore", "torch.distributed is disabled")  # so it is with one process
    try:
        work(args, place)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def work(args: argparse.Namespace, place: Place) -> None:
    """One process's work."""
    if args.batch % (args.micro_batches if args.parallel == "pipeline" else place.world):
        raise SystemExit("--batch must be a multiple of the processes, in a pipeline of the micro-batches")
    net = cnnc.load(args.spec)
    (shape,) = net.inputs.values()
    channels = 3 if args.data else int(shape[0])
    sides = [args.size] * 2 if args.size else list(shape[1:])
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise SystemExit("--size is wanted: the images of this spec have no size of their own")
    shape = (channels, *map(int, sides))
    learnt, tested, classes = datasets(args, shape)
    net = cnnc.load(args.spec, input=shape, head=classes)
    trainer = Trainer(args, place, net)
    told(place, f"{net.name}: {net.params:,} parameters, {place.device.type} x {place.world}")
    accuracy = train(trainer, learnt, tested)
    told(place, f"accuracy on held-out images: {accuracy:.3f}")


if __name__ == "__main__":
    main()
