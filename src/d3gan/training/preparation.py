"""What a run needs before its first step: a batch that fits, images, and an evaluator."""

import dataclasses
from typing import NamedTuple

import torch
from torch import nn

from d3gan.acceleration.precision import check_precision, chosen_precision
from d3gan.config import Config, EvalConfig, TrainConfig
from d3gan.data.cache import ImageSet, check_enough, load_images
from d3gan.data.labels import list_classes
from d3gan.data.locations import cache_folder
from d3gan.errors import UserError
from d3gan.evaluation.evaluator import Evaluator
from d3gan.evaluation.features.choice import chosen
from d3gan.messages import note, warn
from d3gan.training import distributed
from d3gan.training.build import build_discriminators, build_generator, model_classes


class MetaNetworks(NamedTuple):
    """Networks without memory or values, on torch's device "meta"."""

    generator: nn.Module
    discriminators: nn.Module


def meta_networks(config: Config) -> MetaNetworks:
    """Return the networks of a config. Raises UserError if they cannot have their widths."""
    classes = model_classes(config, 2)  # any number of them: images are loaded later
    with torch.device("meta"):
        return MetaNetworks(
            build_generator(config, classes, initialise=False),
            build_discriminators(config, classes, initialise=False),
        )


def check_batch_size(config: Config, shards: int, networks: MetaNetworks) -> None:
    """Raise UserError if a rank's shard of the batch is too small for the networks.

    Batch norm needs two images. Whether there is one is read from the networks themselves.
    """
    batch_norm = nn.modules.batchnorm._BatchNorm
    layers = nn.ModuleList(networks).modules()
    least = 2 if any(isinstance(layer, batch_norm) for layer in layers) else 1
    least *= config.train.accumulate
    if config.train.batch_size // shards < least:
        raise UserError(
            f"train.batch_size = {config.train.batch_size}: must be at least {least * shards} "
            f"({least} for each process with these networks)"
        )


def load_training_images(config: Config) -> ImageSet:
    """Return the training images, and say what is special about them.

    Raises UserError if there are too few, or none with the labels that the configuration needs.
    """
    classes_for = "model.conditional = true" if config.model.conditional else ""
    images = load_images(config.data, labels_for=_labels_for(config.eval), classes_for=classes_for)
    check_enough(len(images.images), config.data, config.train.batch_size, "train.batch_size")
    if images.skipped and distributed.is_main():
        first, others = images.skipped[0], len(images.skipped) - 1
        count = f"{others + 1:,} broken images; the first one is" if others else "1 broken image:"
        warn(f"skipped {count} {first}")
    if distributed.is_main():
        for line in images.notes:
            note(line)
        if config.model.conditional and (line := list_classes(images.class_names)):
            note(line)
    return images


def _labels_for(evaluation: EvalConfig) -> str:
    """Return which features need a classifier of the training images; "" if there are none."""
    if evaluation.every_epochs and evaluation.features == "classifier" and not evaluation.weights:
        return "eval.features = classifier needs labels (--eval.features inception needs none)"
    return ""


def with_features(config: Config) -> Config:
    """Return the config with the features that eval.features = "auto" stands for here.

    The main rank chooses, and says which and why. Raises UserError.
    """
    evaluation, line = distributed.from_main(lambda: chosen(config.eval, cache_folder()))
    if line and distributed.is_main():
        note(line)
    return dataclasses.replace(config, eval=evaluation)


def with_precision(config: Config, device: torch.device) -> Config:
    """Return the config with the precision that train.precision = "auto" stands for here.

    The main rank chooses, and says which and why. Raises UserError for one that the device lacks.
    """
    if config.train.precision != "auto":
        check_precision(config.train.precision, device)
        return config
    precision, why = distributed.from_main(lambda: chosen_precision(device))
    if distributed.is_main():
        note(f"train.precision = {precision}: {why}")
    train: TrainConfig = dataclasses.replace(config.train, precision=precision)  # type: ignore[arg-type]
    return dataclasses.replace(config, train=train)


def make_evaluator(config: Config, images: ImageSet, device: torch.device) -> Evaluator | None:
    """Return what measures the generator during training; None if the config asks for nothing."""
    if not config.eval.every_epochs:
        return None
    return Evaluator(
        config.data,
        images,
        config.eval,
        device,
        classes=model_classes(config, images.classes),
        ranks=distributed,
    )
