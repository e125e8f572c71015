"""What asking an expert in mid-sentence costs a model in this process, against asking anew.

A Llava of random weights (a language model of some 30 million weights on a CPU, of the shape of
half a billion on CUDA) has read a picture and a prompt of 2,600 tokens together, greedily. It is
made to say `<ref> a dog</ref>`; an expert's box goes back behind it.

1. Every token that enters the language model is counted: those of the prompt that enter twice.
2. The time from the expert's result to the next token: the result read behind the kept cache, in
   one pass, against what agent loops do, which is to read the whole conversation again.
3. Tokens a second with routing on (dialect, scanner, triggers, constraint hooks) and nothing to
   route, against `model.generate`; both give the same ids, which is checked first. Beside it the
   share of the time that is neither model nor choosing.
4. An expert that takes as long as a fifth of the answer and is not waited for: what it adds.

Run: python benchmarks/routing.py [--device cuda] [--tiny] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.frames import Frame
from groundplane.core.orchestrator import Budget, Call, Finished, Orchestrator, Resolvers
from groundplane.core.regions import Regions
from groundplane.core.session import Ground, Prompt
from groundplane.grounding.dialects import dialect
from groundplane.language.decoding import Decoder, Rows
from groundplane.language.families import family
from groundplane.language.family import Prepared, extended
from groundplane.language.in_process import Engine, InProcessSession
from groundplane.language.sampling import Sampler
from groundplane.testing.language_checkpoints.tokenizers import byte_tokenizer
from groundplane.testing.language_models import picture

CONTEXT, SAID = 2600, 64
_MARKS = ("<image>", "<ref>", "</ref>", "<box>", "</box>")
_WORK = ((Rows, "step"), (Sampler, "choose"))
_SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "heads": 4},
    "cpu": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "heads": 8},
    "cuda": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "heads": 14},
}


class Bench:
    """A model, its tokenizer and a long prompt."""

    def __init__(self, device: str, shape: str, context: int) -> None:
        self.tokenizer = byte_tokenizer(marks=_MARKS)
        self.device, self.context = torch.device(device), context
        self.model = make_model(self.tokenizer, _SHAPES[shape], seed=0)
        dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
        self.model.to(self.device, dtype)
        self.pixels = torch.randn(1, 3, 56, 56, generator=torch.Generator().manual_seed(1))
        chance, plain = torch.Generator().manual_seed(2), len(self.tokenizer) - len(_MARKS)
        words = torch.randint(3, plain, (1, context - 16), generator=chance)
        image = torch.full((1, 16), self.tokenizer.convert_tokens_to_ids("<image>"))
        self.ids = torch.cat([image, words], dim=1)
        self.prompt = Prompt(text="What is there?", images=(picture(56, 56),))

    def prepare(self, prompt: Prompt) -> Prepared:
        inputs = {
            "input_ids": self.ids,
            "attention_mask": torch.ones_like(self.ids),
            "pixel_values": self.pixels,
        }
        return Prepared(inputs=inputs, frames=tuple(Frame.original(i.size) for i in prompt.images))

    def engine(self, said: int, **options: Any) -> Engine:
        return Engine(
            decoder=Decoder(self.model, family("llava")),
            tokenizer=self.tokenizer,
            prepare=self.prepare,
            dialect=dialect("qwen-vl"),
            spelled=False,
            max_tokens=said,
            **options,
        )

    def scripted(self, said: int) -> Callable[[Prompt], Any]:
        """A constraint that makes the model name a dog at its tenth token."""
        phrase = self.tokenizer.encode("<ref> a dog</ref>", add_special_tokens=False)
        plain = list(range(3, len(self.tokenizer) - len(_MARKS)))

        class Named:
            def allowed(self, told: Sequence[int]) -> Sequence[int]:
                at = len(told) - 10
                return [phrase[at]] if 0 <= at < len(phrase) else plain

        del said
        return lambda prompt: Named()

    def sync(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def make_model(tokenizer: Any, shape: dict[str, int], *, seed: int) -> Any:
    """A Llava of random weights: 16 tokens a picture, and a language model of a shape."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig
    from transformers import LlavaForConditionalGeneration as Llava

    torch.manual_seed(seed)
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape["hidden_size"],
        intermediate_size=shape["intermediate_size"],
        num_hidden_layers=shape["num_hidden_layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.1,
    )
    vision = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        image_size=56, patch_size=14,
    )  # fmt: skip
    config = LlavaConfig(
        text_config=text,
        vision_config=vision,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    model = Llava(config).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """The number of tokens of each pass through the language model."""
    passes: list[int] = []

    def count(module: Any, given: Any, named: Any) -> None:
        passes.append(int(named["inputs_embeds"].shape[1]))

    handle = model.model.language_model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield passes
    finally:
        handle.remove()


class OneBox:
    """An expert that finds one box, after some time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def resolve(self, calls: Sequence[Call]) -> list[DetectResult]:
        time.sleep(self.seconds)
        return [one_box(call.event) for call in calls if isinstance(call.event, Ground)]


def one_box(event: Ground) -> DetectResult:
    """A box in the middle of the picture."""
    regions = Regions(
        ids=("dog-1",),
        boxes=torch.tensor([[10.0, 10.0, 40.0, 40.0]]),
        scores=torch.tensor([0.9]),
        phrases=event.phrases,
        phrase_ids=torch.zeros(1, dtype=torch.long),
        image_size=(56, 56),
    )
    return DetectResult(regions=regions, outcomes=(Outcome.FOUND,))


def run(bench: Bench, engine: Engine, *, seconds: float = 0.0) -> Any:
    """One answer through the orchestrator."""

    class Model:
        def open(self, prompts: Sequence[Prompt]) -> InProcessSession:
            return InProcessSession(engine, prompts)

    runner = Orchestrator(Model(), resolvers=Resolvers(ground=OneBox(seconds)), budget=Budget())
    updates = list(runner.stream([bench.prompt]))
    return next(update.result for update in updates if isinstance(update, Finished))


def recomputed(bench: Bench, said: int) -> tuple[int, int, int]:
    """Tokens that enter the model: in all, those needed, and the difference."""
    with counted(bench.model) as passes:
        text = run(bench, bench.engine(said, constrain=bench.scripted(said)))
    given = [step.detail for step in text.trace if step.name == "injected"]
    assert given, "the expert's box was not told to the model"
    told = int(given[0].split(" tokens")[0].rsplit(" ", 1)[-1])
    # The last token said needs no pass: nothing follows it.
    needed = bench.context + said - 1 + told
    return sum(passes), needed, sum(passes) - needed


def next_token(bench: Bench, repeats: int) -> tuple[float, float]:
    """Seconds from an expert's result to the next token: kept cache, and read anew."""
    decoder = Decoder(bench.model, family("llava"))
    before = bench.tokenizer.encode(" here is<ref> a dog</ref>", add_special_tokens=False)
    told = bench.tokenizer.encode("<box>(178,178),(714,714)</box>", add_special_tokens=False)
    prepared = bench.prepare(bench.prompt)
    whole = extended(prepared.inputs, torch.tensor([before + told]))
    ours, theirs = [], []
    for _ in range(repeats):
        row = decoder.begin(prepared)
        decoder.read(row, before[:-1])
        bench.sync()
        begun = time.perf_counter()
        decoder.read(row, [before[-1], *told])
        kept = int(row.logits.argmax())
        bench.sync()
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        anew = int(decoder.begin(Prepared(inputs=whole)).logits.argmax())
        bench.sync()
        theirs.append(time.perf_counter() - begun)
        if bench.device.type == "cpu":
            assert kept == anew, "the kept cache gives another token"
    return statistics.median(ours), statistics.median(theirs)


def decode_rate(bench: Bench, said: int, repeats: int) -> tuple[float, float, float]:
    """Tokens a second behind the prompt: routed and plain, and the share of the routing itself."""
    engine = bench.engine(said, inject="append")
    inputs = {
        name: value.to(bench.device) for name, value in bench.prepare(bench.prompt).inputs.items()
    }
    inputs["pixel_values"] = inputs["pixel_values"].to(next(bench.model.parameters()).dtype)
    routed, plain, shares = [], [], []
    for _ in range(repeats):
        ids, seconds = _session_ids(bench, InProcessSession(engine, [bench.prompt]))
        routed.append((said - 1) / seconds)
        with timed(bench) as clock:
            _, seconds = _session_ids(bench, InProcessSession(engine, [bench.prompt]))
        shares.append(1 - clock.passes / seconds)
        begun = time.perf_counter()
        bench.model.generate(**inputs, max_new_tokens=1, do_sample=False)
        bench.sync()
        first = time.perf_counter() - begun
        begun = time.perf_counter()
        out = bench.model.generate(**inputs, max_new_tokens=said, do_sample=False)
        bench.sync()
        plain.append((said - 1) / (time.perf_counter() - begun - first))
        if bench.device.type == "cpu":
            assert out[0, bench.context :].tolist() == ids, "routing changes the text"
    return statistics.median(routed), statistics.median(plain), statistics.median(shares)


def _session_ids(bench: Bench, session: InProcessSession) -> tuple[list[int], float]:
    """What a session says, and the seconds that it takes once the prompt is read."""
    session._begun = True  # the prompt is read apart from the decoding that is timed
    session._sequences.append(session._begin(0, session._prompts[0]))
    bench.sync()
    begun = time.perf_counter()
    while session._sequences[0].finish is None:
        session.step([])
    bench.sync()
    return list(session._sequences[0].said), time.perf_counter() - begun


class Clock:
    """Seconds of passes through the model and of choosing tokens."""

    passes = 0.0


@contextmanager
def timed(bench: Bench) -> Iterator[Clock]:
    """Tell the time of passes and choices from that of all else; on a card it slows them down."""
    clock, kept = Clock(), {(owner, name): getattr(owner, name) for owner, name in _WORK}

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def run_it(*given: Any) -> Any:
            begun = time.perf_counter()
            result = call(*given)
            bench.sync()
            clock.passes += time.perf_counter() - begun
            return result

        return run_it

    for (owner, name), call in kept.items():
        setattr(owner, name, watched(call))
    try:
        yield clock
    finally:
        for (owner, name), call in kept.items():
            setattr(owner, name, call)


def hidden(bench: Bench, said: int, repeats: int) -> tuple[float, float, float]:
    """Seconds of an answer with an expert beside it, of the same without one, and the expert's."""
    engine = bench.engine(said, inject="none", constrain=bench.scripted(said))
    run(bench, engine)
    alone, beside, takes = [], [], 0.0
    for _ in range(repeats):
        begun = time.perf_counter()
        run(bench, engine)
        alone.append(time.perf_counter() - begun)
        takes = alone[0] / 5
        begun = time.perf_counter()
        run(bench, engine, seconds=takes)
        beside.append(time.perf_counter() - begun)
    return statistics.median(beside), statistics.median(alone), takes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    shape = "tiny" if given.tiny else ("cuda" if given.device.startswith("cuda") else "cpu")
    bench = Bench(given.device, shape, 300 if given.tiny else CONTEXT)
    weights = sum(p.numel() for p in bench.model.model.language_model.parameters()) / 1e6
    print(f"{given.device}, language model of {weights:.0f} M weights, context {bench.context}")
    with torch.inference_mode():
        entered, needed, twice = recomputed(bench, SAID)
        print(f"tokens through the model: {entered}, needed {needed}, read twice: {twice}")
        rate, plain, share = decode_rate(bench, SAID, given.repeats)
        print(
            f"tokens a second: routed {rate:.1f}, generate {plain:.1f}; routing itself {share:.2%}"
        )
        beside, alone, takes = hidden(bench, SAID, given.repeats)
        print(f"an answer: {alone:.3f} s; with an expert of {takes:.3f} s beside it {beside:.3f} s")
        ours, theirs = next_token(bench, given.repeats)
        print(f"result to next token: {ours * 1e3:.1f} ms; read anew {theirs * 1e3:.1f} ms")
    if given.json is not None:
        figures = {
            "read_twice": twice, "routed_rate": rate, "generate_rate": plain,
            "routing_share": share, "alone_s": alone, "beside_s": beside, "expert_s": takes,
            "kept_s": ours, "anew_s": theirs,
        }  # fmt: skip
        given.json.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"rate, ours / generate = {rate / plain:.3f}")
    print(f"ratio = peer / ours = {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
