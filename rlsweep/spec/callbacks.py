"""`callbacks:` of a spec: Python that runs while trials train, named by dotted path."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, field_validator

from rlsweep.spec.model import SpecModel

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class CallbackSpec(SpecModel):
    """One item of `callbacks:`: a name alone, or a name with arguments beside it.

    Attributes:
        name: `package.module:Class`, an RLlibCallback (inside of each trial) or a ray.tune.Callback (beside
            the sweep). Every other key is an argument of its constructor.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    name: str

    @field_validator("name")
    @classmethod
    def _dotted(cls, name: str) -> str:
        if not _DOTTED.fullmatch(name):
            raise ValueError("write package.module:Class, as in callbacks.worker.norms:GradientNorms")
        return name

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the constructor."""
        return dict(self.model_extra or {})

    @property
    def key(self) -> str:
        """Tells this callback from the others, also where one class is named twice."""
        return f"{self.name} {json.dumps(self.arguments, sort_keys=True)}" if self.arguments else self.name


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


NamedCallback = Annotated[CallbackSpec, BeforeValidator(_named, json_schema_input_type=str | CallbackSpec)]
