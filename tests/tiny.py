"""A tiny but real model: a hand-made BERT of two layers, trained on a small demo shop and published.

Everything is done by the project's own code; only the sizes are small.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from model_store.bundle import Bundle
from model_store.shelf import Shelf
from training import pipeline
from training.config import read
from training.export import cells
from training.export.publish import publish
from training.run import Run
from training.shop import Shop, generate, write

HIDDEN = 32
WORDED = ("match:words", "match:gram_idf", "match:pairs", "list:match:least", "query:rarest")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def shop() -> Shop:
    """A shop of 120 items and 300 impressions."""
    return generate(3, users=40, items=120, impressions=300, days=21)


def encoder(folder: Path, texts: list[str]) -> Path:
    """A BERT with random weights and a WordPiece vocabulary of the given texts, in a local folder."""
    tokenizer = Tokenizer(WordPiece(unk_token=SPECIAL[1]))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.train_from_iterator(texts, WordPieceTrainer(vocab_size=400, special_tokens=SPECIAL))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=HIDDEN, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return folder


def configuration(folder: Path) -> Path:
    """The tiny shop's tables and a configuration that trains on them in seconds."""
    small = shop()
    write(small, folder)
    encoder(folder / "bert", small.items["title"].to_list() + small.items["description"].to_list())
    path = folder / "shop.toml"
    text = re.sub(r"\[(model|training)\][^\[]*", "", path.read_text())
    text = text.replace("use = [", f"use = [{', '.join(map(repr, WORDED))},", 1)
    text += '\n[model]\nencoder = "BERT"\ndimension = 16\nhidden = 16\nexperts = 2\nmax_tokens = 32\n'
    text += "\n[training]\nepochs = 2\nbatch = 32\n"
    path.write_text(text.replace("BERT", str(folder / "bert")))
    return path


def build_bundle(root: Path) -> Path:
    """Train, verify and publish; the folder of the bundle, on the shelf `root/shelf`."""
    config = configuration(root / "data")
    run = Run.start(root / "runs" / "tiny", config)
    with Progress(disable=True) as progress:
        bench = pipeline.prepare(read(config), root / "cache", progress)
        pipeline.train(bench, run, progress)
        bundle: Bundle = publish(bench, run, Shelf(root / "shelf"), progress)
    return bundle.folder


def build_cells(bundle: Path, root: Path) -> Path:
    """The same bundle with its catalogue in cells, as a large one has it, on the shelf `root`."""
    opened, shelf = Bundle.open(bundle), Shelf(root)
    searches = np.random.default_rng(0).normal(size=(20, opened.manifest.dimension)).astype(np.float32)
    with shelf.draft(opened.manifest.name) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        (draft / "manifest.json").unlink()
        texts = [line["text"] for line in opened.lines("items.jsonl")]
        index = cells.write(opened.items, draft, texts=texts, searches=searches, above=0)
        return shelf.publish(draft, opened.manifest.model_copy(update={"index": index})).folder
