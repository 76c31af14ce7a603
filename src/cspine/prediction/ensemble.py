"""The models of a bundle at work: pixels -> probabilities, and where in a slice they come from."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cspine.allocator import keep_memory
from cspine.bundles.manifest import Bundle
from cspine.devices import device_of
from cspine.errors import CspineError
from cspine.heat_maps import evidence_map
from cspine.methods.registry import module_of
from cspine.slices_at_once import slices_at_once
from cspine.studies import VERTEBRAE


class Ensemble:
    """A bundle's fold models on one device."""

    def __init__(self, bundle: Bundle, device: str = "auto", threads: int = 0) -> None:
        """Load the models.

        Args:
            bundle: read and compared with its digests.
            device: auto | cpu | cuda | cuda:1.
            threads: torch's, on a CPU; 0 = as in the workflow, which gives its numbers to the last bit.

        Raises:
            CspineError: the device cannot compute, or the installed timm knows the network otherwise.
        """
        settings = bundle.manifest
        self.threads = threads or int(settings["threads"])
        torch.set_num_threads(self.threads)
        self.device, self.precision = device_of(device, settings["precision"])
        if self.device.type == "cpu":
            keep_memory()  # a batch's features are tens of megabytes a layer
        self.at_once = slices_at_once(settings["batch_size"])
        self.family: Any = importlib.import_module(module_of(bundle.family))
        self.networks = [self._loaded(bundle, number) for number in range(len(bundle.models))]

    def predict(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What each model says of a study's pixels (slices, pixels, pixels): (models, slices, 7 or 14).

        The columns are those of ``slice_evidence.PREDICTED``, presence where the networks have outputs for it.
        """
        arguments = self.device, self.precision, self.at_once
        return np.stack([self.family.predict_study(network, pixels, *arguments) for network in self.networks])

    def evidence(self, pixels: NDArray[np.uint8], z: int, vertebra: str) -> NDArray[np.float32]:
        """Where in slice ``z`` the models see the fracture of ``vertebra``: (rows, columns) of cells, 0..1."""
        output = VERTEBRAE.index(vertebra)
        maps = [
            evidence_map(network, self.family.stack_in(network, pixels, z).to(self.device), output, self.at_once)
            for network in self.networks
        ]
        return np.mean(maps, axis=0)

    def _loaded(self, bundle: Bundle, number: int) -> torch.nn.Module:
        try:
            network: torch.nn.Module = self.family.load(bundle.models[number])
        except (CspineError, RuntimeError) as error:
            made, entry = bundle.manifest["versions"].get("timm", "unknown"), bundle.manifest["models"][number]
            raise CspineError(
                f"{bundle.models[number]}: the network {entry['network']} of the installed timm does not take these "
                f"weights (made with timm {made}): {str(error).splitlines()[0]}; install that version"
            ) from error
        return network.eval().to(self.device)
