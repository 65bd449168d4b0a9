"""Harmonize images: a pasted foreground gets the light and colour of its background.

The names in `__all__` are the public Python API. Everything else under `hdnet.model`, `hdnet.pipeline` and
`hdnet.transforms` may change in any release.
"""

import os
from typing import TYPE_CHECKING

from hdnet.transforms.errors import HarmonizeError, ShapeError, WeightsError

__all__ = [
    "HarmonizeError",
    "Harmonizer",
    "ShapeError",
    "WeightsError",
    "__version__",
    "load_network",
    "read_header",
    "read_mask",
    "shipped_weights",
]

# OpenMP reads this as torch is loaded. Threads that wait for each other by spinning take the processor from the very
# thread that they wait for: beside other work a small image took 20 times as long as with one thread, and 1.5 this way.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from hdnet.model.harmonizer import Harmonizer, read_mask
    from hdnet.model.weights.weights_file import load_network
    from hdnet.model.weights.weights_header import read_header
    from hdnet.model.weights.weights_header import shipped as shipped_weights

    __version__: str
else:
    # Torch takes seconds to import, so these names are looked up when they are first used (PEP 562).
    def __getattr__(name: str) -> object:
        import pkgutil
        from importlib import metadata

        homes = {
            "Harmonizer": "hdnet.model.harmonizer:Harmonizer",
            "load_network": "hdnet.model.weights.weights_file:load_network",
            "read_header": "hdnet.model.weights.weights_header:read_header",
            "read_mask": "hdnet.model.harmonizer:read_mask",
            "shipped_weights": "hdnet.model.weights.weights_header:shipped",
        }
        if name in homes:
            return pkgutil.resolve_name(homes[name])
        if name == "__version__":
            return metadata.version("hdnet-pipeline")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return __all__
