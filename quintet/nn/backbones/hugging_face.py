"""Any decoder or encoder of the library transformers, driven by ``inputs_embeds``.

A large model becomes a configuration: ``--backbone hugging_face`` with ``model.backbone_settings``
naming a family (llama, qwen3, gpt2, bert, ...), its sizes, and in ``settings`` any other field of
its configuration. The model is made from its configuration with weights of its own; nothing is
downloaded. It reads event vectors in place of word embeddings, which are left out. Needs the extra
``hf``.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from quintet.config import Share, tunable
from quintet.errors import ConfigError, MissingExtraError
from quintet.nn.backbones.base import Backbone
from quintet.nn.dropout import Dropout

#: what families call their rates of dropout
RATES = (
    "attention_dropout",
    "attention_probs_dropout_prob",
    "attn_pdrop",
    "dropout",
    "embd_pdrop",
    "hidden_dropout_prob",
    "resid_pdrop",
)


class HuggingFace(Backbone):
    """A Transformer of a family that the library transformers knows by name.

    Whether it looks both ways is found out by trying, so that it holds for every family; an encoder
    then serves as :class:`quintet.nn.backbones.bidirectional.BidirectionalTransformer` does.

    Raises:
        MissingExtraError: transformers is not installed.
        ConfigError: there is no such family, or its configuration refuses the settings.
    """

    name = "hugging_face"

    class Config(Backbone.Config):
        """Settings of the adapter."""

        family: str = "llama"
        hidden: PositiveInt | None = None
        layers: PositiveInt = tunable(2, choices=[1, 2, 4], description="blocks")
        heads: PositiveInt = tunable(2, choices=[1, 2, 4], description="attention heads")
        expansion: PositiveInt = tunable(
            4, choices=[2, 4], description="width of the MLP over hidden"
        )
        dropout: Share = tunable(0.3, low=0.0, high=0.6, description="on tokens and in the model")
        states_a_window: PositiveInt = tunable(
            8, choices=[2, 8, 32], description="states of a window trained on, if it is an encoder"
        )
        settings: dict[str, Any] = Field(default_factory=dict)

    def __init__(self, width: int, longest: int, config: Config | None = None) -> None:
        settings = config if config is not None else self.Config()
        super().__init__(width, longest, settings)
        hidden = settings.hidden or width
        self.model = _model(settings, hidden, longest + 1)
        self.dropout = Dropout(settings.dropout)
        self.enter = nn.Identity() if hidden == width else nn.Linear(width, hidden)
        self.leave = nn.Identity() if hidden == width else nn.Linear(hidden, width)
        self.causal = not _looks_ahead(self.model, hidden)
        self.states_a_window = None if self.causal else settings.states_a_window

    def forward(self, tokens_BLD: Tensor, length_B: Tensor, time_BL: Tensor) -> Tensor:
        """See :meth:`Backbone.forward`."""
        del time_BL  # it knows the order alone
        mask_BL = None
        if not self.causal:
            place_L = torch.arange(tokens_BLD.shape[1], device=tokens_BLD.device)
            mask_BL = (place_L[None, :] < length_B[:, None]).long()
        entered = self.enter(self.dropout(tokens_BLD))
        read = self.model(inputs_embeds=entered, attention_mask=mask_BL).last_hidden_state
        out: Tensor = self.leave(read)
        return out


def _model(settings: HuggingFace.Config, hidden: int, longest: int) -> Any:
    """The family's model without word embeddings and pooler."""
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError:
        raise MissingExtraError("the backbone 'hugging_face'", "hf") from None
    sizes = {
        "hidden_size": hidden,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.heads,
        "head_dim": hidden // settings.heads,
        "intermediate_size": settings.expansion * hidden,
        "max_position_embeddings": longest,
        "vocab_size": 1,
        # as torch's linear layers: the .02 that they come with is right at 768
        "initializer_range": (3 * hidden) ** -0.5,
    } | dict.fromkeys(RATES, settings.dropout)
    try:
        known = AutoConfig.for_model(settings.family)
    except ValueError:
        raise ConfigError(
            f"backbone_settings.family: transformers knows no {settings.family!r}; "
            "such as: llama, qwen3, gpt2, bert"
        ) from None
    given = {name: value for name, value in sizes.items() if hasattr(known, name)}
    for name in settings.settings:
        if not hasattr(known, name):
            raise ConfigError(
                f"backbone_settings.settings: {settings.family} has no field {name!r}"
            )
    try:
        made = AutoConfig.for_model(
            settings.family, **{**given, "use_cache": False, **settings.settings}
        )
        model: Any = AutoModel.from_config(made)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"backbone_settings: {settings.family} refuses them: {error}") from None
    model.set_input_embeddings(nn.Identity())
    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model


@torch.no_grad()
def _looks_ahead(model: Any, hidden: int) -> bool:
    """Whether another event behind it changes the state of the first."""
    model.eval()
    steps_L = torch.linspace(-1.0, 1.0, hidden)
    one = torch.stack([steps_L, steps_L])[None]
    other = torch.stack([steps_L, -steps_L.roll(1)])[None]
    first, second = (model(inputs_embeds=read).last_hidden_state[0, 0] for read in (one, other))
    model.train()
    return not torch.equal(first, second)
