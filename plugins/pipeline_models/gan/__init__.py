"""Pictures from random numbers."""

from collections.abc import Callable
from typing import Any

from pipeline_models.gan.discriminate import discriminate
from pipeline_models.gan.project import gan_project
from pipeline_models.gan.sample import gan_interpolate, gan_sample
from pipeline_models.gan.train import gan_train

__all__ = ["OPERATIONS", "discriminate", "gan_interpolate", "gan_project", "gan_sample", "gan_train"]

OPERATIONS: list[Callable[..., Any]] = [gan_train, gan_sample, gan_interpolate, gan_project, discriminate]
