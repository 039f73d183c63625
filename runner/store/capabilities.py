"""What a model in the library can do: its weights, and what its chat template makes of them."""

from __future__ import annotations

from runner.domain.model import Capability
from runner.prompt.capabilities import abilities
from runner.store.manifests import PROJECTOR, Manifest


def capabilities_of(manifest: Manifest) -> tuple[Capability, ...]:
    """Return what the weights can do, and what chat template and projector can do with them."""
    own = manifest.facts.capabilities
    if Capability.COMPLETION not in own:
        return own
    template = manifest.facts.template if manifest.template is None else manifest.template
    # Manifests of the first days have what their template speaks of among the file's facts.
    found = {*own} - {Capability.TOOLS, Capability.THINKING}
    found |= {*abilities(template).capabilities()}
    if any(layer.kind == PROJECTOR for layer in manifest.layers):
        found.add(Capability.VISION)
    return tuple(capability for capability in Capability if capability in found)
