"""Families from plain settings, as a YAML file holds them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pushforward.errors import InputError
from pushforward.fit import FitConfig

F = TypeVar("F")


def family(cls: type[F], settings: Mapping[str, Any]) -> F:
    """``cls``, a family, from plain settings, as a YAML file holds them; those of the optimiser stand under ``fit``.

    Raises:
        InputError: a setting that does not exist; the message lists those that do.
    """
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    fit = settings.pop("fit", None)
    _check_known(settings, cls, "settings")
    if fit is None:
        return cls(**settings)
    _check_known(fit, FitConfig, "settings.fit")
    fit = {key: tuple(value) if isinstance(value, list) else value for key, value in fit.items()}
    return cls(**settings, fit=FitConfig(**fit))


def _check_known(given: Mapping[str, Any], cls: type, where: str) -> None:
    known = [f.name for f in fields(cls)]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise InputError(
            f"{where} has {', '.join(unknown)}, which {cls.__name__} does not know; it knows {', '.join(known)}"
        )
