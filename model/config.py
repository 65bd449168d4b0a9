"""The base of configurations: frozen dataclasses whose choices are checked, to and from JSON."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Base of the configurations. A subclass that checks more in `__post_init__` calls this one, too.

    Raises:
        ValueError: A field annotated with a `Literal` has another value; the message names field and value.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of foregrounds, one of which the network must be told for each image; () for none."""
        return ()

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal and getattr(self, name) not in get_args(hint):
                raise ValueError(
                    f"{name} must be one of {', '.join(map(str, get_args(hint)))}: {getattr(self, name)!r}"
                )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Build a configuration from `to_json`'s result.

        Raises:
            ValueError: A field is unknown, or has a value it cannot have.
        """
        unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ValueError(f"unknown {cls.__name__} fields: {', '.join(unknown)}")
        return cls(**fields)
