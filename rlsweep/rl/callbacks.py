"""`callbacks:` of a spec -> what makes them."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.tune import Callback

from callbacks.worker.trial_callback import TrialCallback, TrialFacts
from rlsweep.errors import PreflightError, did_you_mean, nearest
from rlsweep.spec import Sweep
from rlsweep.spec.callbacks import CallbackSpec
from rlsweep.store.rows import CUSTOM_PREFIX

CALLBACKS = "rlsweep_callbacks"
"""Key of `learner_config_dict`: the spec's key of each callback inside of a trial -> what makes it."""

Make = Callable[[], Any]


def worker_callbacks(specs: Iterable[CallbackSpec]) -> dict[str, Make]:
    """Those that run inside of a trial: the spec's key -> what makes one.

    Raises:
        PreflightError: as `callback_maker`.
    """
    return {spec.key: callback_maker(spec) for spec in specs if issubclass(_class(spec), RLlibCallback)}


def driver_callbacks(specs: Iterable[CallbackSpec]) -> list[Callback]:
    """Those that run beside the sweep.

    Raises:
        PreflightError: as `callback_maker`.
    """
    return [callback_maker(spec)() for spec in specs if issubclass(_class(spec), Callback)]


def check_custom_keys(sweep: Sweep, facts: TrialFacts) -> None:
    """See that some callback adds each `custom/…` key that an objective or the curriculum asks for.

    Raises:
        PreflightError: none adds one of them.
    """
    made = [make() for make in worker_callbacks(sweep.callbacks).values()]
    names = [name for one in made if isinstance(one, TrialCallback) for name in one.keys(facts)]
    known = [CUSTOM_PREFIX + name for name in names]
    phases = sweep.curriculum.phases if sweep.curriculum else ()
    conditions = [key for phase in phases if phase.until is not None for key in phase.until.bounds]
    for key in [*(objective.key for objective in sweep.objective), *conditions]:
        if key.startswith(CUSTOM_PREFIX) and key not in known:
            hint = did_you_mean(nearest(key, known))
            message = f"no callback adds a key {key!r}; allowed: {', '.join(known)}{hint}"
            raise PreflightError(message, key="callbacks")


def callback_maker(spec: CallbackSpec) -> Make:
    """What makes a callback out of the spec's arguments.

    Raises:
        PreflightError: it cannot be imported, is no callback, or does not take the arguments.
    """
    found: Callable[..., Any] = _class(spec)
    make: Make = functools.partial(found, **spec.arguments)
    taken = [name for name in inspect.signature(found).parameters if name not in ("args", "kwargs")]
    for name in spec.arguments:
        if name not in taken and "kwargs" not in inspect.signature(found).parameters:
            hint = did_you_mean(nearest(name, taken))
            allowed = ", ".join(taken) or "none"
            raise _error(spec, f"no argument {name!r}; allowed: {allowed}{hint}")
    try:
        make()
    except Exception as error:  # a callback is anybody's code
        raise _error(spec, f"{type(error).__name__}: {error}") from error
    return make


def _class(spec: CallbackSpec) -> type[Any]:
    module, _, name = spec.name.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # a module is anybody's code
        raise _error(spec, f"{type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, (RLlibCallback, Callback))):
        raise _error(spec, "neither an RLlibCallback nor a ray.tune.Callback")
    return found


def _error(spec: CallbackSpec, message: str) -> PreflightError:
    return PreflightError(f"the callback {spec.name}: {message}", key="callbacks")
