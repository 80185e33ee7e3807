"""The block that Transformers are made of, causal or looking both ways (pre-norm)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from quintet.errors import ConfigError
from quintet.nn.dropout import Dropout


class AttentionBlock(nn.Module):
    """Self-attention and a two-layer perceptron, each a normed residual branch.

    Shapes: B sequences, L positions, D width.
    """

    def __init__(self, width: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.heads = sharing(heads, width)
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, hidden_BLD: Tensor, real_BL: Tensor | None = None) -> Tensor:
        """[B, L, D]; each position reads those up to itself, or all of ``real_BL`` if given."""
        normed_BLD = self.attention_norm(hidden_BLD)
        hidden_BLD = hidden_BLD + self.dropout(self._attend(normed_BLD, real_BL))
        out: Tensor = hidden_BLD + self.dropout(self.mlp(self.mlp_norm(hidden_BLD)))
        return out

    def _attend(self, normed_BLD: Tensor, real_BL: Tensor | None) -> Tensor:
        B, L, D = normed_BLD.shape
        joint = self.query_key_value(normed_BLD).view(B, L, 3, self.heads, D // self.heads)
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        visible = None if real_BL is None else real_BL[:, None, None, :]
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, is_causal=real_BL is None
        )
        out: Tensor = self.attention_out(mixed.transpose(1, 2).reshape(B, L, D))
        return out


def sharing(heads: int, width: int) -> int:
    """How many heads share a width evenly.

    Raises:
        ConfigError: they cannot.
    """
    if width % heads:
        raise ConfigError(f"a width of {width} cannot be shared by {heads} heads evenly")
    return heads
