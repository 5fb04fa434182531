"""Any other classifier of `monai.networks.nets`, by its class name as the variant."""

import inspect

from monai.networks import nets
from torch import nn

from hounsfield.errors import ConfigError
from hounsfield.models.settings import ModelSettings

INPUTS = ("in_channels", "n_input_channels")
FETCH_ALWAYS = ("Transchex",)
OUTPUTS = ("num_classes", "out_channels", "n_classes")


def build(settings: ModelSettings, n_pathologies: int) -> nn.Module:
    """`variant` is a class such as SEResNet50 or EfficientNetBN; its other arguments come from `options`.

    Weights are fetched from elsewhere only where the options say so, whatever MONAI's default is.
    """
    network = getattr(nets, settings.variant, None)
    if not (inspect.isclass(network) and issubclass(network, nn.Module)):
        raise ConfigError(f"config: models: monai.networks.nets has no network {settings.variant!r}")
    if hasattr(network, "from_pretrained") or settings.variant in FETCH_ALWAYS:
        raise ConfigError(f"config: models: {settings.variant} always fetches weights from elsewhere; choose another")
    accepted = _arguments(network)
    arguments = {"spatial_dims": 3} if "spatial_dims" in accepted else {}
    arguments |= {"pretrained": False} if "pretrained" in accepted else {}
    for names, value in ((INPUTS, settings.in_channels), (OUTPUTS, n_pathologies)):
        arguments |= {name: value for name in names if name in accepted}
    return network(**arguments | dict(settings.options))


def _arguments(network: type) -> set[str]:
    """Names of the arguments of the constructors, along the inheritance that passes keywords on."""
    names: set[str] = set()
    for kind in network.__mro__:
        if kind is nn.Module:
            break
        parameters = inspect.signature(kind.__init__).parameters.values()
        names |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names
