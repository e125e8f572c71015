"""Grounding DINO through the package of its authors, groundingdino-py: the same results.

For weights in that package's own names, such as the published `.pth` files once they are
converted. The expert `grounding-dino` runs the same network faster.

The package was made for older libraries. What has to differ is given to it while it builds one
network, and taken back at once: a text encoder for a transformers that no longer has what the
package's one calls, and a tokenizer and BERT from the folder of the weights, so that nothing is
fetched. The network is then cut where the prompt comes in, so that a picture is encoded once.

Source: Liu et al., Grounding DINO, 2023; https://github.com/IDEA-Research/GroundingDINO.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from groundplane.core.capabilities import Capabilities
from groundplane.core.checkpoints import check_folder, read_settings
from groundplane.core.detection import DetectRequest, DetectResult
from groundplane.core.errors import InputError, PluginBrokenError, WeightsError, listing
from groundplane.core.image import Image
from groundplane.core.pixels import PixelRule
from groundplane.core.weights import (
    default_dtype,
    find_weights,
    load_processor,
    load_strict,
    need_library,
    read_state,
    weights_key,
)
from groundplane.grounding.prompted import (
    PromptedDetector,
    PromptedSettings,
    check_ranges,
    encoder_of,
)

__all__ = ["GroundingDinoPyDetector", "GroundingDinoPyOptions"]

_NAME = "grounding-dino-py"
_WHO = f"detector {_NAME!r}"
_CURE = (
    "pip install --no-deps groundingdino-py, and pip install addict pycocotools timm torchvision "
    "transformers yapf (its own requirements would put another OpenCV over the one that "
    "groundplane needs; see docs/detectors.md)"
)
# The two published configurations, in the package's names. What acts in training only is off.
_BACKBONES = {"swin-t": "swin_T_224_1k", "swin-b": "swin_B_384_22k"}
_SETTINGS: dict[str, Any] = {
    "position_embedding": "sine",
    "pe_temperatureH": 20,
    "pe_temperatureW": 20,
    "return_interm_indices": [1, 2, 3],
    "backbone_freeze_keywords": None,
    "pre_norm": False,
    "hidden_dim": 256,
    "dropout": 0.0,
    "query_dim": 4,
    "num_patterns": 0,
    "num_feature_levels": 4,
    "two_stage_type": "standard",
    "two_stage_bbox_embed_share": False,
    "two_stage_class_embed_share": False,
    "transformer_activation": "relu",
    "dec_pred_bbox_embed_share": True,
    "dn_box_noise_scale": 1.0,
    "dn_label_noise_ratio": 0.5,
    "dn_labelbook_size": 2000,
    "embed_init_tgt": True,
    "max_text_len": 256,
    "text_encoder_type": "bert-base-uncased",
    "use_text_enhancer": True,
    "use_fusion_layer": True,
    "use_checkpoint": False,
    "use_transformer_ckpt": False,
    "use_text_cross_attention": True,
    "text_dropout": 0.0,
    "fusion_dropout": 0.0,
    "fusion_droppath": 0.0,
    "sub_sentence_present": True,
}
# What a checkpoint may say otherwise, in this file beside it; the package fixes the other sizes.
_SHAPE_FILE = "groundingdino.json"
_SHAPE = {"enc_layers": 6, "dec_layers": 6, "dim_feedforward": 2048, "nheads": 8}
_SHAPE |= {"num_queries": 900, "enc_n_points": 4, "dec_n_points": 4}
# In the published files, of the training with noise; the package itself makes no such module.
_OF_TRAINING = ("label_enc.weight",)
# What the package's text encoder takes from the BertModel of transformers 4.
_GONE = ("get_extended_attention_mask", "invert_attention_mask", "get_head_mask")
# What is used of the package.
_PARTS = ("build_groundingdino", "BertModelWarper", "get_tokenlizer", "NestedTensor")
# Of libraries that the package was made for; a user can do nothing about them.
_OLD_CALLS: tuple[tuple[type[Warning], str, str], ...] = (
    (FutureWarning, r"Importing from timm\.models\.layers", ""),
    (FutureWarning, r"`torch\.cuda\.amp\.autocast", ""),
    (UserWarning, r"torch\.meshgrid: in an upcoming release", ""),
    (DeprecationWarning, "invalid escape sequence", ".*groundingdino"),
    (SyntaxWarning, "invalid escape sequence", ".*groundingdino"),
)
_BUILDING = threading.Lock()
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingDinoPyOptions:
    """Options of `GroundingDinoPyDetector`.

    Attributes:
        weights: A folder, or a `.safetensors` file, or a hub id. Beside the weights stand the
            `config.json` and the tokenizer files of the text encoder, as in the folder of
            bert-base-uncased; its own weights are in the checkpoint.
        revision: Commit of the hub id, 40 hexadecimal digits.
        offline: Whether to take fetched weights only.
        variant: Which of the two published configurations the weights are of.
        threshold: Least score where a request states none of its own.
        floor: Least score of a candidate.
        overlap: Boxes of a phrase with a larger intersection over union are one thing; 1: none.
        most: Most candidates of a phrase, the best ones.
        apart: Ask each phrase in a prompt of its own.
        shortest: Shorter side to which pictures are resized, pixels.
        longest: Most that the longer side may then be, pixels.
        multiple: Pad pictures to a multiple of this, pixels, so that more of them can be run
            together; with more than 1 results differ a little from those without padding.
        batch: Most pictures that are run together.

    Raises:
        InputError: If a value is out of range.
    """

    weights: str
    revision: str = ""
    offline: bool = False
    variant: Literal["swin-t", "swin-b"] = "swin-t"
    threshold: float = 0.25
    floor: float = 0.05
    overlap: float = 0.8
    most: int = 100
    apart: bool = False
    shortest: int = 800
    longest: int = 1333
    multiple: int = 1
    batch: int = 8

    def __post_init__(self) -> None:
        check_ranges(self, who=_NAME)
        if self.variant not in _BACKBONES:
            raise InputError(
                f"{_NAME}: option variant: expected {listing(_BACKBONES)}, got {self.variant!r}"
            )


class GroundingDinoPyDetector:
    """Finds any phrases with Grounding DINO, through the package of its authors.

    The score of a box for a phrase is the network's own for the phrase's best token, in [0, 1],
    and no probability. Safe to use from several threads.

    Args:
        options: See `GroundingDinoPyOptions`.
        device: Where the network runs and the regions' tensors are put.
        dtype: Number type of the large products; None: float32 on a CPU, bfloat16 on CUDA.
            Weights stay in float32.

    Raises:
        PluginBrokenError: If groundingdino-py is not installed, or is unlike any that is known.
        WeightsError: If the weights or the files of the text encoder are not there, or are
            refused.
    """

    Options = GroundingDinoPyOptions
    # The network of `grounding-dino`, with the same work.
    capabilities = Capabilities(
        prompts=frozenset({"text"}), cost=820.0, joint=True, licence="Apache-2.0"
    )

    def __init__(
        self,
        options: GroundingDinoPyOptions,
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> None:
        _mute_old_calls()
        need_library("torchvision", who=_WHO, cure=_CURE)
        library = need_library("transformers", who=_WHO, cure=_CURE)
        package = need_library(
            "groundingdino.models.GroundingDINO.groundingdino", who=_WHO, cure=_CURE
        )
        path = find_weights(
            options.weights, revision=options.revision, offline=options.offline, who=_WHO
        )
        place, number = torch.device(device), default_dtype(device, dtype)
        tokenizer, make_reader = _text_encoder(path, library)
        shape = {**_SHAPE, **_stated_shape(_folder_of(path))}
        model = _build(
            package,
            {**_SETTINGS, **shape, "backbone": _BACKBONES[options.variant]},
            tokenizer=tokenizer,
            make_reader=make_reader,
            reader_class=library.BertModel,
        )
        _fill(model, path, device=place)
        settings = PromptedSettings(
            name=_NAME,
            key=(_NAME, weights_key(path), *shape.values(), str(place), str(number)),
            limit=min(model.max_text_len, model.bert.config.max_position_embeddings),
            threshold=options.threshold,
            floor=options.floor,
            overlap=options.overlap,
            most=options.most,
            apart=options.apart,
            batch=options.batch,
        )
        self._detector = PromptedDetector(
            _Network(model, nested=package.NestedTensor, batch=library.BatchEncoding, dtype=number),
            tokenize=encoder_of(tokenizer, who=_WHO, source=path),
            rule=_rule_of(options),
            settings=settings,
            device=place,
        )

    @property
    def vocabulary(self) -> None:
        """None: it takes any text."""
        return None

    def detect(self, requests: Sequence[DetectRequest]) -> list[DetectResult]:
        """Answer each request, in order."""
        return self._detector.detect(requests)

    def prefetch(self, images: Sequence[Image]) -> None:
        """Encode pictures before anything is asked of them."""
        self._detector.prefetch(images)


def _mute_old_calls() -> None:
    """Keep warnings about the package's use of its libraries off the terminal.

    `warnings.catch_warnings` swaps the filters of the whole process and loses other threads'
    changes; filters that match nothing else can stay where they are.
    """
    for category, said, place in _OLD_CALLS:
        where = re.compile(place) if place else None
        noted = ("ignore", re.compile(said, re.IGNORECASE), category, where, 0)
        if noted not in warnings.filters:
            warnings.filterwarnings("ignore", message=said, category=category, module=place)


def _text_encoder(path: Path, library: ModuleType) -> tuple[Any, Callable[[], nn.Module]]:
    """The tokenizer, and what makes the text encoder; both from the files beside the weights."""
    if path.is_dir():
        check_folder(path, who=_WHO)
    folder = _folder_of(path)
    config = folder / "config.json"
    if not config.is_file():
        raise WeightsError(
            f"{_WHO}: {folder} has no config.json of the text encoder. Try: copy config.json, "
            "vocab.txt and tokenizer_config.json of bert-base-uncased beside the weights"
        )
    kind = read_settings(config, who=_WHO).get("model_type")
    if kind != "bert":
        raise WeightsError(
            f"{_WHO}: expected the text encoder's settings (model_type 'bert' in {config}), got "
            f"{kind!r}; weights in the names of transformers are for the expert 'grounding-dino'"
        )
    settings = load_processor(library.BertConfig, folder, who=_WHO)
    tokenizer = load_processor(library.AutoTokenizer, folder, who=_WHO)
    return tokenizer, lambda: library.BertModel(settings)


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _rule_of(options: GroundingDinoPyOptions) -> PixelRule:
    """How the package prepares its pictures."""
    return PixelRule(
        size=options.shortest or 800, longest=options.longest or 1333, multiple=options.multiple
    )


def _fill(model: nn.Module, path: Path, *, device: torch.device) -> None:
    """Put the weights into the network, all of them."""
    state = read_state(path, who=_WHO)
    for name in _OF_TRAINING:
        state.pop(name, None)
    load_strict(model, state, who=_WHO, device=device, dtype=torch.float32)


def _stated_shape(folder: Path) -> dict[str, int]:
    """What the checkpoint says of its shape, checked."""
    path = folder / _SHAPE_FILE
    if not path.is_file():
        return {}
    stated = read_settings(path, who=_WHO)
    strange = sorted(set(stated) - set(_SHAPE))
    if strange:
        raise WeightsError(
            f"{_WHO}: {path}: expected settings among {listing(_SHAPE)}, got {listing(strange)}"
        )
    for name, value in stated.items():
        if type(value) is not int or not 1 <= value <= 65_536:
            raise WeightsError(f"{_WHO}: {path}: {name}: expected 1 to 65536, got {value!r}")
    return stated


def _build(
    package: ModuleType,
    settings: dict[str, Any],
    *,
    tokenizer: Any,
    make_reader: Callable[[], nn.Module],
    reader_class: type,
) -> Any:
    """The package's network with the text encoder given, without weights."""
    absent = [name for name in _PARTS if not hasattr(package, name)]
    if absent:
        raise PluginBrokenError(
            f"{_WHO}: the installed groundingdino is unlike any that is known: {package.__name__} "
            f"has no {listing(absent)}. Try: pip install --no-deps groundingdino-py==0.4.0"
        )
    given: dict[str, Any] = {
        "get_tokenlizer": SimpleNamespace(
            get_tokenlizer=lambda kind: tokenizer,
            get_pretrained_language_model=lambda kind: make_reader(),
        )
    }
    if not all(hasattr(reader_class, name) for name in _GONE):
        given["BertModelWarper"] = _TextEncoder
    try:
        # Weights are made at random first; that must not move the user's own random numbers.
        with torch.random.fork_rng(devices=[]), _given(package, given):
            model = package.build_groundingdino(SimpleNamespace(**settings))
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise WeightsError(
            f"{_WHO}: a network of the stated shape cannot be made ({said}); check config.json "
            f"and {_SHAPE_FILE} beside the weights"
        ) from error
    return model


@contextmanager
def _given(package: ModuleType, parts: dict[str, Any]) -> Iterator[None]:
    """With other parts in a module while one network is built; they go back whatever happens."""
    with _BUILDING:
        before = {name: getattr(package, name) for name in parts}
        try:
            vars(package).update(parts)
            yield
        finally:
            vars(package).update(before)


class _TextEncoder(nn.Module):
    """Stands for the package's `BertModelWarper`, with weights of the same names."""

    def __init__(self, bert_model: Any) -> None:
        super().__init__()
        self.config = bert_model.config
        self.embeddings, self.encoder = bert_model.embeddings, bert_model.encoder
        self.pooler = bert_model.pooler
        # Not as a part: its weights are those of the parts above.
        self.__dict__["whole"] = bert_model

    def forward(self, attention_mask: Tensor, **inputs: Tensor) -> Any:
        """Read a prompt; the mask is True where one token of a sub-sentence sees another."""
        number = self.embeddings.word_embeddings.weight.dtype
        blocked = torch.zeros(attention_mask.shape, dtype=number, device=attention_mask.device)
        blocked.masked_fill_(~attention_mask.bool(), torch.finfo(number).min)
        return self.__dict__["whole"](attention_mask=blocked[:, None], **inputs)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Encoded:
    """What is handed to the network in the place of pictures: their feature maps."""

    features: Sequence[Tensor]
    mask: Bool[Tensor, "b h w"]

    @property
    def device(self) -> torch.device:
        return self.mask.device


class _FromMaps(nn.Module):
    """Stands for the image encoder and gives the feature maps that it was handed."""

    def __init__(self, position: nn.Module, nested: Any) -> None:
        super().__init__()
        self.position, self.nested = position, nested

    def forward(self, samples: _Encoded) -> tuple[list[Any], list[Tensor]]:
        maps = []
        for features in samples.features:
            mask = interpolate(samples.mask[None].float(), size=features.shape[-2:])[0]
            maps.append(self.nested(features, mask.to(torch.bool)))
        return maps, [self.position(level).to(level.tensors.dtype) for level in maps]

    def __getitem__(self, index: int) -> nn.Module:
        # The network asks its image encoder for the second of its two parts.
        return self.position


def _without_prints(module: nn.Module) -> None:
    """Let one module's `forward` log what it prints: stdout belongs to the program's results."""
    forward: Any = type(module).forward
    names = {**forward.__globals__, "print": _log.debug}
    logging_one = FunctionType(
        forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__
    )
    module.forward = MethodType(logging_one, module)


class _Network:
    """The package's network, cut where the prompt comes in (see `PromptedNetwork`)."""

    def __init__(self, model: Any, *, nested: Any, batch: Any, dtype: torch.dtype) -> None:
        encoder = getattr(model, "backbone", None)
        if not isinstance(encoder, nn.Sequential) or len(encoder) != 2:
            raise PluginBrokenError(
                f"{_WHO}: the installed groundingdino is unlike any that is known: expected an "
                f"image encoder `backbone` of two parts, got {type(encoder).__name__}. "
                "Try: pip install --no-deps groundingdino-py==0.4.0"
            )
        self._lock = threading.Lock()
        self._model, self._nested, self._dtype = model, nested, dtype
        self.queries: int = model.num_queries
        self._levels: int = model.num_feature_levels
        self._encoder = encoder
        model.backbone = _FromMaps(encoder[1], nested)
        _without_prints(model.transformer.decoder)

        def tokens_of(prompts: Sequence[Sequence[int]], **_: object) -> Any:
            """Stands for the tokenizer: the prompts are token ids already, all of one length."""
            ids = torch.tensor(prompts)
            kinds, there = torch.zeros_like(ids), torch.ones_like(ids)
            return batch({"input_ids": ids, "token_type_ids": kinds, "attention_mask": there})

        model.tokenizer = tokens_of

    def cells(self, canvas: tuple[int, int]) -> int:
        steps = [8 << level for level in range(self._levels)]
        return sum(-(-canvas[0] // step) * -(-canvas[1] // step) for step in steps)

    def encode(self, values: Float[Tensor, "b 3 h w"], mask: Bool[Tensor, "b h w"]) -> list[Tensor]:
        with self._lock, self._numbers():
            maps, _ = self._encoder(self._nested(values, ~mask))
        return [level.tensors for level in maps]

    def read(
        self, features: Sequence[Tensor], mask: Bool[Tensor, "b h w"], ids: Sequence[int]
    ) -> tuple[Float[Tensor, "b q t"], Float[Tensor, "b q 4"]]:
        _mute_old_calls()
        given = _Encoded(features=features, mask=~mask)
        with self._lock, self._numbers():
            out = self._model(given, captions=[list(ids)] * len(mask))
        return out["pred_logits"].float(), out["pred_boxes"].float()

    def _numbers(self) -> AbstractContextManager[Any]:
        """Products in the stated number type, all else in float32."""
        if self._dtype == torch.float32:
            return nullcontext()
        device = next(self._model.parameters()).device
        return torch.autocast(device.type, dtype=self._dtype)
